//! Commands of points in process.

use crate::command::testing::Bench;

fn talk(bench: &mut Bench, lines: &[(&str, &str)]) {
    for (request, reply) in lines {
        assert_eq!(bench.say(request), *reply, "{request}");
    }
}

fn sicily() -> Bench {
    let mut bench = Bench::new();
    let reply = bench.say("GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania");
    assert_eq!(reply, ":2");
    bench
}

#[test]
fn points_are_added_and_read() {
    let mut bench = sicily();
    talk(
        &mut bench,
        &[
            ("ZSCORE g Palermo", "$16 3479099956230698"),
            (
                "GEOPOS g Palermo none",
                "*2 *2 $18 13.361389338970184 $16 38.1155563954963 *-1",
            ),
            ("GEOPOS none a", "*1 *-1"),
            (
                "GEOHASH g Palermo Catania none",
                "*3 $11 sqc8b49rny0 $11 sqdtr74hyu0 $-1",
            ),
            ("GEODIST g Palermo Catania", "$11 166274.1516"),
            ("GEODIST g Palermo Catania KM", "$8 166.2742"),
            ("GEODIST g Palermo Catania mi", "$8 103.3182"),
            ("GEODIST g Palermo Catania ft", "$11 545518.8700"),
            ("GEODIST g Palermo Palermo", "$6 0.0000"),
            ("GEODIST g Palermo none", "$-1"),
            (
                "GEODIST g Palermo Catania foo",
                "-ERR unsupported unit provided. please use M, KM, FT, MI",
            ),
            ("GEOADD g NX 1 1 Palermo 2 2 new", ":1"),
            ("GEOADD g XX CH 1 1 Palermo 2 2 other", ":1"),
            ("GEOADD g NX XX 1 1 a", "-ERR syntax error"),
            ("GEOADD g 1 1 a 2 2", "-ERR syntax error"),
            ("GEOADD g x 1 a", "-ERR value is not a valid float"),
            (
                "GEOADD g 181 1 a",
                "-ERR invalid longitude,latitude pair 181.000000,1.000000",
            ),
        ],
    );
}

#[test]
fn additions_are_logged_as_scores() {
    let mut bench = sicily();
    bench.server.ks.log.attach(crate::log::Consumer::File);
    bench.say("GEOADD g CH 13.361389 38.115556 x");
    let log = String::from_utf8_lossy(&bench.server.ks.log.take().bytes).into_owned();
    let entry = "*5\r\n$4\r\nZADD\r\n$1\r\ng\r\n$2\r\nCH\r\n$16\r\n3479099956230698\r\n$1\r\nx\r\n";
    assert!(log.ends_with(entry), "{log}");
}

#[test]
fn points_are_searched() {
    let mut bench = sicily();
    talk(
        &mut bench,
        &[
            (
                "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC",
                "*2 $7 Catania $7 Palermo",
            ),
            (
                "GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km DESC WITHDIST",
                "*2 *2 $7 Palermo $8 190.4424 *2 $7 Catania $7 56.4413",
            ),
            (
                "GEOSEARCH g FROMMEMBER Catania BYRADIUS 1 m WITHHASH WITHCOORD",
                "*1 *3 $7 Catania :3479447370796909 *2 $18 15.087267458438873 $17 37.50266842333162",
            ),
            (
                "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km COUNT 1",
                "*1 $7 Catania",
            ),
            ("GEOSEARCH none FROMMEMBER x BYRADIUS 1 m", "*0"),
            ("GEORADIUS g 15 37 100 km", "*1 $7 Catania"),
            ("GEORADIUS_RO g 15 37 100 km", "*1 $7 Catania"),
            (
                "GEORADIUSBYMEMBER g Palermo 200 km DESC",
                "*2 $7 Catania $7 Palermo",
            ),
            ("GEORADIUSBYMEMBER_RO g Palermo 1 km", "*1 $7 Palermo"),
            ("GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km", ":2"),
            ("ZSCORE d Catania", "$16 3479447370796909"),
            (
                "GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST",
                ":2",
            ),
            ("ZRANK d Catania WITHSCORE", "*2 :0 $16 56.4412578701582"),
            ("GEORADIUS g 15 37 1 m STORE d", ":0"),
            ("EXISTS d", ":0"),
            ("GEORADIUS none 15 37 1 m STORE d", ":0"),
        ],
    );
}

#[test]
fn searches_are_refused_in_redis_words() {
    let mut bench = sicily();
    talk(
        &mut bench,
        &[
            (
                "GEOSEARCH g FROMLONLAT 15 37 ASC WITHDIST DESC",
                "-ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH",
            ),
            (
                "GEOSEARCH g BYRADIUS 1 m ASC WITHDIST",
                "-ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH",
            ),
            (
                "GEOSEARCH g FROMLONLAT 1 1 BYRADIUS -1 m",
                "-ERR radius cannot be negative",
            ),
            (
                "GEOSEARCH g FROMLONLAT 1 1 BYRADIUS x m",
                "-ERR need numeric radius",
            ),
            (
                "GEOSEARCH g FROMLONLAT 1 1 BYBOX x 1 m",
                "-ERR need numeric width",
            ),
            (
                "GEOSEARCH g FROMLONLAT 1 1 BYBOX 1 x m",
                "-ERR need numeric height",
            ),
            (
                "GEOSEARCH g FROMLONLAT 1 1 BYBOX 1 -1 m",
                "-ERR height or width cannot be negative",
            ),
            (
                "GEOSEARCH g FROMLONLAT 1 1 BYRADIUS 1 m COUNT 0",
                "-ERR COUNT must be > 0",
            ),
            (
                "GEOSEARCH g FROMLONLAT 1 1 BYRADIUS 1 m ANY",
                "-ERR the ANY argument requires COUNT argument",
            ),
            (
                "GEOSEARCH g FROMMEMBER none BYRADIUS 1 m",
                "-ERR could not decode requested zset member",
            ),
            (
                "GEOSEARCHSTORE d g FROMLONLAT 1 1 BYRADIUS 1 m WITHCOORD",
                "-ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
            ),
            (
                "GEORADIUS g 1 1 1 m STORE d WITHCOORD",
                "-ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
            ),
            ("GEORADIUS_RO g 1 1 1 m STORE d", "-ERR syntax error"),
            ("GEORADIUS g 1 1 1 m foo", "-ERR syntax error"),
            (
                "GEORADIUS g 1 1 1 foo",
                "-ERR unsupported unit provided. please use M, KM, FT, MI",
            ),
            (
                "GEOSEARCH g FROMLONLAT 1 1 BYRADIUS 9e300 km COUNT 9223372036854775807",
                "*2 $7 Catania $7 Palermo",
            ),
        ],
    );
}

#[test]
fn areas_cross_the_antimeridian_and_the_poles() {
    let mut bench = Bench::new();
    bench.say("GEOADD g 179.9 0 west -179.9 0 east 90 84.9 north -90 84.9 far");
    talk(
        &mut bench,
        &[
            (
                "GEOSEARCH g FROMMEMBER west BYRADIUS 30 km ASC",
                "*2 $4 west $4 east",
            ),
            (
                "GEOSEARCH g FROMMEMBER east BYBOX 60 10 km ASC",
                "*2 $4 east $4 west",
            ),
            (
                "GEOSEARCH g FROMMEMBER north BYRADIUS 1200 km ASC",
                "*2 $5 north $3 far",
            ),
        ],
    );
}

#[test]
fn any_points_are_those_around_the_center_first() {
    let mut bench = Bench::new();
    bench.say("GEOADD g 45 65 here -135 85.05 beyond");
    let all = "GEORADIUSBYMEMBER g here 5009431 m";
    assert_eq!(bench.say(all), "*2 $4 here $6 beyond");
    let one = format!("{all} COUNT 1 ANY");
    assert_eq!(bench.say(&one), "*1 $4 here");
}
