//! The console in a real browser, without a window: what stands in its page when its script has run.

use std::process::Command;

use crate::client::Observed;
use crate::support::TempDir;

/// The page's elements after some seconds of its own time; `None` where there is no Chromium.
fn rendered(observed: &Observed, hash: &str) -> Option<String> {
    let dir = TempDir::new();
    let output = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-dev-shm-usage",
        ])
        .arg(format!("--user-data-dir={}", dir.path().display()))
        .args(["--virtual-time-budget=7000", "--dump-dom"])
        .arg(format!("http://127.0.0.1:{}/{hash}", observed.port))
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: there is no chromium");
        return None;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("</html>"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Without its own script, which stands at the end.
    let (begin, end) = (
        text.rfind("<script>").unwrap(),
        text.rfind("</script>").unwrap(),
    );
    Some(format!("{}{}", &text[..begin], &text[end..]))
}

#[test]
fn pages_show_the_servers_figures() {
    let observed = Observed::start(&["--track-prefix", "user:*", "--slowlog-log-slower-than", "0"]);
    let mut client = observed.server.connect();
    client.call(&["CLIENT", "SETNAME", "worker-7"]);
    for n in 0..123 {
        client.call(&["HSET", &format!("user:{n}"), "name", "x"]);
    }
    client.line("GET nosuch");
    // What the console asks is slow by that measure too.
    client.line("CONFIG SET slowlog-log-slower-than -1");
    let Some(overview) = rendered(&observed, "") else {
        return;
    };
    for part in [
        "<h1 id=\"title\">Overview</h1>",
        "Throughput",
        "<div class=\"value\">123</div>",
        "<canvas",
        ">hset</td>",
        "up 0 s",
        "master</span>",
    ] {
        let found = overview.contains(part) || part == "up 0 s" && overview.contains(" · up ");
        assert!(found, "{part} in {}", text_of(&overview));
    }
    assert!(
        overview.contains("id=\"banner\" class=\"banner\" role=\"status\" hidden"),
        "{overview}"
    );
    for (hash, parts) in [
        (
            "#memory",
            &[
                "keys and values",
                "user:*",
                "all 123 keys of db0",
                ">hash</span>",
            ][..],
        ),
        ("#clients", &["worker-7", ">config set</td>", "default"]),
        ("#slowlog", &["HSET user:122 name x", "Slow commands"]),
        (
            "#replication",
            &["No replica is connected.", "Persistence", "svg"],
        ),
    ] {
        let page = rendered(&observed, hash).unwrap();
        for part in parts {
            assert!(
                page.contains(part) || text_of(&page).contains(part),
                "{hash}: {part} in {}",
                text_of(&page)
            );
        }
    }
}

/// The text without the elements.
fn text_of(page: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in page.chars() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            c if !inside => text.push(c),
            _ => {}
        }
    }
    text
}

#[test]
fn hostile_keys_and_values_are_text() {
    let observed = Observed::start(&[]);
    let mut client = observed.server.connect();
    let script = b"<script>document.title='owned'</script>";
    client.call(&[
        &b"SET"[..],
        script,
        b"<img src=x onerror=\"document.title='owned'\">",
    ]);
    client.call(&[&b"SET"[..], b"bin\xff\0", b"v"]);
    client.call(&[&b"SET"[..], "turn\u{202e}ed".as_bytes(), b"v"]);
    client.call(&[
        &b"HSET"[..],
        b"\"><b>h",
        b"</td><script>1</script>",
        b"<svg onload=alert(1)>",
    ]);
    let Some(page) = rendered(
        &observed,
        "#keys?key=%3Cscript%3Edocument.title='owned'%3C/script%3E",
    ) else {
        return;
    };
    assert!(page.contains("<title>Keys · Ferrite</title>"), "{page}");
    // Once in the list and once above its value, and never as an element.
    let shown = "<td class=\"keyname\">&lt;script&gt;document.title='owned'&lt;/script&gt;</td>";
    assert!(page.contains(shown), "{page}");
    assert!(page.contains("&lt;img src=x onerror="), "{page}");
    assert!(
        !page.contains("<img") && !page.contains("<script>"),
        "{page}"
    );
    assert!(
        page.contains("bin<span class=\"esc\">\\xff\\x00</span>"),
        "{page}"
    );
    assert!(
        page.contains("turn<span class=\"esc\">\\u202e</span>ed"),
        "{page}"
    );
    let hash = rendered(&observed, "#keys?key=%22%3E%3Cb%3Eh").unwrap();
    assert!(
        hash.contains("&lt;/td&gt;&lt;script&gt;1&lt;/script&gt;")
            && hash.contains("&lt;svg onload=alert(1)&gt;"),
        "{hash}"
    );
    assert!(
        !hash.contains("<b>h") && !hash.contains("<svg onload"),
        "{hash}"
    );
}
