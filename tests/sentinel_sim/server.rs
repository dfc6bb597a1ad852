//! A data server of the simulation: role, data as an offset, and the commands that Sentinel sends.

use ferrite::sentinel::core::types::Ms;

pub struct Server {
    pub number: usize,
    pub up: bool,
    pub paused_until: Ms,
    pub loading_until: Ms,
    /// `None`: a master.
    pub master: Option<usize>,
    pub link_up: bool,
    pub link_down_since: Ms,
    pub offset: u64,
    /// When the offset last changed.
    pub moved: Ms,
    /// `CLIENT PAUSE WRITE` until then.
    pub writes_paused_until: Ms,
    /// Servers before 6.2 have no `CLIENT PAUSE WRITE`.
    pub can_pause: bool,
    pub priority: u32,
    pub incarnation: u32,
    /// Replicas that follow, as INFO lists them.
    pub followers: Vec<usize>,
}

impl Server {
    pub fn new(number: usize, master: Option<usize>) -> Server {
        Server {
            number,
            up: true,
            paused_until: 0,
            loading_until: 0,
            master,
            link_up: master.is_some(),
            link_down_since: 0,
            offset: 1,
            moved: 0,
            writes_paused_until: 0,
            can_pause: true,
            priority: 100,
            incarnation: 0,
            followers: Vec::new(),
        }
    }

    pub fn runs(&self, now: Ms) -> bool {
        self.up && self.paused_until <= now
    }

    pub fn takes_writes(&self, now: Ms) -> bool {
        self.runs(now)
            && self.master.is_none()
            && self.loading_until <= now
            && self.writes_paused_until <= now
    }

    pub fn ip(number: usize) -> String {
        format!("10.0.0.{number}")
    }

    pub fn info(&self, now: Ms) -> String {
        use std::fmt::Write;
        let mut text = format!(
            "run_id:{:032x}{:08x}\r\n",
            self.number + 1,
            self.incarnation
        );
        match self.master {
            None => {
                text.push_str("role:master\r\n");
                for (i, replica) in self.followers.iter().enumerate() {
                    let _ = write!(
                        text,
                        "slave{i}:ip={},port=6379,state=online\r\n",
                        Server::ip(*replica)
                    );
                }
                let _ = write!(text, "master_repl_offset:{}\r\n", self.offset);
            }
            Some(master) => {
                let _ = write!(
                    text,
                    "role:slave\r\nmaster_host:{}\r\nmaster_port:6379\r\nmaster_link_status:{}\r\n",
                    Server::ip(master),
                    if self.link_up { "up" } else { "down" }
                );
                if !self.link_up {
                    let _ = write!(
                        text,
                        "master_link_down_since_seconds:{}\r\n",
                        (now - self.link_down_since) / 1000
                    );
                }
                let _ = write!(
                    text,
                    "slave_repl_offset:{}\r\nslave_priority:{}\r\n",
                    self.offset, self.priority
                );
            }
        }
        text
    }
}
