//! The failover, step by step.
//!
//! ```text
//! None → WaitStart ──elected──→ SelectSlave → SendSlaveofNoone → WaitPromotion → ReconfSlaves → UpdateConfig → None
//!           │ not elected           │ none good ↘ WaitCatchUp ↗       │ timeout       (all follow, or timeout)
//!           └───────────────────────┴───── abort ←─────────┴──────────┘
//! ```
//!
//! `WaitCatchUp` is ours: in a failover that was asked for, the master lives, so its writes are paused until the chosen
//! replica has every byte, and nothing that was acknowledged is lost.

use super::election;
use super::hello;
use super::info;
use super::instance::{Master, Replica, shown};
use super::shared::Shared;
use super::types::*;

/// How long the choice waits for fresh offsets.
const FRESH_INFO_MS: Ms = 500;
/// How often an instance is asked for INFO while its new role is waited for.
const POLL_MS: Ms = 100;
/// The same while writes are paused.
const CATCH_UP_POLL_MS: Ms = 2;
/// Bounds of the pause of a planned failover.
const PAUSE_MS: (Ms, Ms) = (500, 6_000);

/// Why a failover cannot be started by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    InProgress,
    NoGoodSlave,
}

/// The command that makes an instance a replica of `addr`.
pub fn target(sh: &Shared, addr: &Addr) -> Request {
    Request::Slaveof(Some(Addr::new(shown(addr, &sh.options), addr.port)))
}

/// Starts a failover when the master is objectively down and the last try is long enough ago.
pub fn start_if_needed(sh: &mut Shared, master: &mut Master) -> bool {
    if !master.node.flags.contains(Flags::O_DOWN) || master.in_failover() {
        return false;
    }
    let pause = master.failover_timeout.saturating_mul(2);
    let since = sh.now - master.failover.start;
    if since < pause {
        if master.failover.delay_logged != master.failover.start {
            master.failover.delay_logged = master.failover.start;
            let text = format!(
                "Next failover delay: I will not start a failover for {} ms",
                pause - since
            );
            sh.log(Level::Warning, text);
        }
        return false;
    }
    start(sh, master);
    true
}

fn start(sh: &mut Shared, master: &mut Master) {
    if !sh.planted(Planted::EpochNotRaised) || sh.current_epoch == 0 {
        sh.current_epoch = sh.current_epoch.saturating_add(1);
    }
    master.failover.epoch = sh.current_epoch;
    master.failover.state = FailoverState::WaitStart;
    master.failover.state_change = sh.now;
    master.failover.start = sh.now + sh.rng.below(election::DESYNC_MS) as Ms;
    master.failover.catch_up = None;
    master.failover.paused = None;
    master.node.flags.insert(Flags::FAILOVER_IN_PROGRESS);
    // The epoch is used up, whatever becomes of this try.
    sh.flush();
    let text = sh.current_epoch.to_string();
    sh.event(Level::Warning, "+new-epoch", Some(master), text);
    let text = master.text(&sh.options);
    sh.event(Level::Warning, "+try-failover", Some(master), text);
}

/// `SENTINEL FAILOVER`: without asking the other Sentinels.
pub fn force(sh: &mut Shared, master: &mut Master) -> Result<(), Refusal> {
    if master.in_failover() {
        return Err(Refusal::InProgress);
    }
    if select(sh, master).is_none() {
        return Err(Refusal::NoGoodSlave);
    }
    let text = format!("Executing user requested FAILOVER of '{}'", master.name);
    sh.log(Level::Warning, text);
    start(sh, master);
    master.node.flags.insert(Flags::FORCE_FAILOVER);
    Ok(())
}

/// One turn of the state machine.
pub fn tick(sh: &mut Shared, master: &mut Master) {
    if !master.in_failover() {
        return;
    }
    match master.failover.state {
        FailoverState::None | FailoverState::UpdateConfig => {}
        FailoverState::WaitStart => wait_start(sh, master),
        FailoverState::SelectSlave => select_slave(sh, master),
        FailoverState::WaitCatchUp => wait_catch_up(sh, master),
        FailoverState::SendSlaveofNoone => send_slaveof_noone(sh, master),
        FailoverState::WaitPromotion => wait_promotion(sh, master),
        FailoverState::ReconfSlaves => reconf_slaves(sh, master),
    }
}

fn enter(sh: &Shared, master: &mut Master, state: FailoverState) {
    master.failover.state = state;
    master.failover.state_change = sh.now;
}

fn in_state(sh: &Shared, master: &Master) -> Ms {
    sh.now - master.failover.state_change
}

fn say(sh: &mut Shared, master: &Master, channel: &'static str) {
    let text = master.text(&sh.options);
    sh.event(Level::Warning, channel, Some(master), text);
}

fn say_promoted(sh: &mut Shared, master: &Master, level: Level, channel: &'static str) {
    if let Some(replica) = master.promoted() {
        let text = master.replica_text(replica, &sh.options);
        sh.event(level, channel, Some(master), text);
    }
}

fn abort(sh: &mut Shared, master: &mut Master, channel: &'static str) {
    say(sh, master, channel);
    if master.failover.state == FailoverState::WaitCatchUp {
        sh.send(master.node.link, Request::Unpause, &master.renames);
    }
    if let Some(name) = master.failover.promoted.take()
        && let Some(replica) = master.replicas.get_mut(&name)
    {
        replica.node.flags.remove(Flags::PROMOTED);
    }
    let start = master.failover.start;
    master.forget_failover();
    // The pause before the next try counts from the start of this one.
    master.failover.start = start;
    master.failover.state_change = sh.now;
}

fn wait_start(sh: &mut Shared, master: &mut Master) {
    let leader = election::leader(sh, master, master.failover.epoch);
    let forced = master.node.flags.contains(Flags::FORCE_FAILOVER);
    if leader.as_ref() != Some(&sh.my_id) && !forced {
        let timeout = sh.timing.election_timeout.min(master.failover_timeout);
        if sh.now - master.failover.start > timeout {
            abort(sh, master, "-failover-abort-not-elected");
        }
        return;
    }
    say(sh, master, "+elected-leader");
    if sh.sim_failure.contains(SimFailure::CRASH_AFTER_ELECTION) {
        crash(sh, "after election");
    }
    enter(sh, master, FailoverState::SelectSlave);
    say(sh, master, "+failover-state-select-slave");
    // Who has the most data shows only in an INFO from after the master went.
    let renames = master.renames.clone();
    for replica in master.replicas.values_mut() {
        sh.ask_info(&mut replica.node, &renames);
    }
}

fn crash(sh: &mut Shared, when: &str) {
    let text = format!("Sentinel CRASH because of SENTINEL simulate-failure: {when}");
    sh.log(Level::Warning, text);
    sh.actions.push_back(Action::Crash);
}

fn select_slave(sh: &mut Shared, master: &mut Master) {
    let asked = master.failover.state_change;
    let stale = master.replicas.values().any(|r| {
        let answers =
            sh.links.of(r.node.link).is_connected() && !r.node.is_down() && r.priority != 0;
        answers && r.node.info_refresh < asked
    });
    // An answer within the tick that asked has the same time as the question.
    let early = stale || sh.now == asked;
    if early && in_state(sh, master) < FRESH_INFO_MS {
        return;
    }
    let Some(name) = select(sh, master) else {
        abort(sh, master, "-failover-abort-no-good-slave");
        return;
    };
    if let Some(replica) = master.replicas.get_mut(&name) {
        replica.node.flags.insert(Flags::PROMOTED);
    }
    master.failover.promoted = Some(name);
    say_promoted(sh, master, Level::Warning, "+selected-slave");
    let alive = !master.node.is_down() && sh.links.of(master.node.link).is_connected();
    if master.node.flags.contains(Flags::FORCE_FAILOVER) && alive && !sh.planted(Planted::NoCatchUp)
    {
        enter(sh, master, FailoverState::WaitCatchUp);
        let request = Request::Pause(pause_ms(master));
        sh.send(master.node.link, request, &master.renames);
    } else {
        go_on_to_promote(sh, master);
    }
}

/// The pause also holds up announcements of other Sentinels at the master, so it must be well below the time after which
/// they would take it for down.
fn pause_ms(master: &Master) -> Ms {
    (master.down_after / 4 * 3).clamp(PAUSE_MS.0, PAUSE_MS.1)
}

/// An INFO of the master or a replica came: a planned failover goes on at once, because writes wait for it.
pub fn informed(sh: &mut Shared, master: &mut Master) {
    if master.failover.state == FailoverState::WaitCatchUp && sh.tilt_since.is_none() {
        wait_catch_up(sh, master);
    }
}

fn go_on_to_promote(sh: &mut Shared, master: &mut Master) {
    enter(sh, master, FailoverState::SendSlaveofNoone);
    say_promoted(
        sh,
        master,
        Level::Notice,
        "+failover-state-send-slaveof-noone",
    );
    send_slaveof_noone(sh, master);
}

/// The master's answer to `CLIENT PAUSE`.
pub fn pause_answered(sh: &mut Shared, master: &mut Master, answer: &Answer<'_>) {
    if master.failover.state != FailoverState::WaitCatchUp {
        return;
    }
    match answer {
        Answer::Status("OK") => {
            master.failover.paused = Some(sh.now);
            let renames = master.renames.clone();
            sh.ask_info(&mut master.node, &renames);
        }
        other => {
            let text = format!(
                "The master '{}' cannot pause its writes ({other:?}): those that its replica has not got yet will be lost",
                master.name
            );
            sh.log(Level::Warning, text);
            go_on_to_promote(sh, master);
        }
    }
}

fn wait_catch_up(sh: &mut Shared, master: &mut Master) {
    // The first step towards a loss would be to go on without knowing: then rather nothing is changed.
    let limit = pause_ms(master) / 3 * 2;
    let offset = master.promoted().map_or(0, |r| r.offset);
    if master.failover.catch_up.is_some_and(|goal| offset >= goal) {
        let text = format!(
            "The replica has all {offset} bytes of the master '{}', whose writes are paused",
            master.name
        );
        sh.log(Level::Notice, text);
        // From here on the pause must last until the master is told to follow.
        let request = Request::Pause(pause_ms(master));
        sh.send(master.node.link, request, &master.renames);
        return go_on_to_promote(sh, master);
    }
    if in_state(sh, master) > limit || !sh.links.of(master.node.link).is_connected() {
        let text = format!(
            "The replica has {offset} of {:?} bytes of the master '{}' after {} ms: no switch without loss",
            master.failover.catch_up,
            master.name,
            in_state(sh, master)
        );
        sh.log(Level::Warning, text);
        return abort(sh, master, "-failover-abort-slave-timeout");
    }
    if master.failover.paused.is_some() {
        poll_promoted(sh, master, CATCH_UP_POLL_MS);
    }
}

fn poll_promoted(sh: &mut Shared, master: &mut Master, pause: Ms) {
    let renames = master.renames.clone();
    if let Some(name) = &master.failover.promoted
        && let Some(replica) = master.replicas.get_mut(name)
    {
        let node = &mut replica.node;
        let answered = node.info_refresh >= node.info_sent;
        if answered && sh.now - node.info_sent >= pause {
            sh.ask_info(node, &renames);
        }
    }
}

fn timed_out(sh: &mut Shared, master: &mut Master) -> bool {
    let late = in_state(sh, master) > master.failover_timeout && !sh.planted(Planted::WaitsForever);
    if late {
        abort(sh, master, "-failover-abort-slave-timeout");
    }
    late
}

fn send_slaveof_noone(sh: &mut Shared, master: &mut Master) {
    let Some(link) = master.promoted().map(|r| r.node.link) else {
        return abort(sh, master, "-failover-abort-no-good-slave");
    };
    let renames = master.renames.clone();
    if !sh.send(link, Request::Slaveof(None), &renames) {
        timed_out(sh, master);
        return;
    }
    say_promoted(sh, master, Level::Notice, "+failover-state-wait-promotion");
    enter(sh, master, FailoverState::WaitPromotion);
}

fn wait_promotion(sh: &mut Shared, master: &mut Master) {
    if !timed_out(sh, master) {
        poll_promoted(sh, master, POLL_MS);
    }
}

/// The chosen replica says that it is a master: from now on this is the configuration, and others hear of it.
pub fn promoted(sh: &mut Shared, master: &mut Master, name: &Text) {
    debug_assert_eq!(master.failover.promoted.as_ref(), Some(name));
    if !sh.planted(Planted::ConfigEpochNotRaised) {
        master.config_epoch = master.failover.epoch;
    }
    enter(sh, master, FailoverState::ReconfSlaves);
    sh.flush();
    say_promoted(sh, master, Level::Warning, "+promoted-slave");
    if sh.sim_failure.contains(SimFailure::CRASH_AFTER_PROMOTION) {
        crash(sh, "after promotion");
    }
    say(sh, master, "+failover-state-reconf-slaves");
    let (from, to) = (master.node.addr.clone(), master.current_addr().clone());
    sh.call_reconfig_script(master, "leader", "start", &from, &to);
    if master.failover.paused.is_some() {
        // The old master lives: it follows at once, before its pause ends.
        let request = target(sh, &to);
        sh.send(master.node.link, request, &master.renames);
    }
    hello::hurry(sh, master);
}

/// The way of a replica to the new master, as its INFO shows it.
pub fn follow_reconfiguration(sh: &mut Shared, master: &mut Master, name: &Text) {
    let Some(to) = master.promoted().map(|r| r.node.addr.clone()) else {
        return;
    };
    let Some(replica) = master.replicas.get_mut(name) else {
        return;
    };
    if replica.node.role_reported != Role::Slave {
        return;
    }
    let follows = replica.master_port == to.port
        && replica
            .master_host
            .as_deref()
            .is_some_and(|host| *host == *to.ip || *host == *to.host);
    let mut reached: [Option<&'static str>; 2] = [None; 2];
    if replica.node.flags.contains(Flags::RECONF_SENT) && follows {
        replica.node.flags.remove(Flags::RECONF_SENT);
        replica.node.flags.insert(Flags::RECONF_INPROG);
        reached[0] = Some("+slave-reconf-inprog");
    }
    if replica.node.flags.contains(Flags::RECONF_INPROG) && replica.master_link_up {
        replica.node.flags.remove(Flags::RECONF_INPROG);
        replica.node.flags.insert(Flags::RECONF_DONE);
        reached[1] = Some("+slave-reconf-done");
    }
    if reached == [None; 2] {
        return;
    }
    if let Some(replica) = master.replicas.get(name) {
        let text = master.replica_text(replica, &sh.options);
        for channel in reached.into_iter().flatten() {
            sh.event(Level::Notice, channel, Some(master), text.clone());
        }
    }
}

const RECONFIGURING: Flags = Flags::RECONF_SENT.union(Flags::RECONF_INPROG);

fn reconf_slaves(sh: &mut Shared, master: &mut Master) {
    let Some(to) = master.promoted().map(|r| r.node.addr.clone()) else {
        return;
    };
    let request = target(sh, &to);
    let renames = master.renames.clone();
    let busy = master
        .replicas
        .values()
        .filter(|r| r.node.flags.intersects(RECONFIGURING))
        .count();
    let mut free = (master.parallel_syncs as usize).saturating_sub(busy);
    // Out of its place, so that the master can be looked at beside it.
    let mut replicas = std::mem::take(&mut master.replicas);
    for replica in replicas.values_mut() {
        let flags = replica.node.flags;
        if flags.intersects(Flags::PROMOTED | Flags::RECONF_DONE) {
            continue;
        }
        if flags.contains(Flags::RECONF_SENT)
            && sh.now - replica.reconf_sent_time > sh.timing.slave_reconf_timeout
        {
            let text = master.replica_text(replica, &sh.options);
            sh.event(
                Level::Notice,
                "-slave-reconf-sent-timeout",
                Some(master),
                text,
            );
            replica.node.flags.remove(Flags::RECONF_SENT);
            replica.node.flags.insert(Flags::RECONF_DONE);
            free += 1;
            continue;
        }
        if flags.intersects(RECONFIGURING) || free == 0 {
            continue;
        }
        if sh.send(replica.node.link, request.clone(), &renames) {
            replica.node.flags.insert(Flags::RECONF_SENT);
            replica.reconf_sent_time = sh.now;
            free -= 1;
            let text = master.replica_text(replica, &sh.options);
            sh.event(Level::Notice, "+slave-reconf-sent", Some(master), text);
        }
    }
    master.replicas = replicas;
    detect_end(sh, master, &request);
}

fn detect_end(sh: &mut Shared, master: &mut Master, request: &Request) {
    if master.promoted().is_none_or(|r| r.node.is_down()) {
        return;
    }
    let settled = Flags::PROMOTED | Flags::RECONF_DONE | Flags::S_DOWN;
    let mut waiting = master
        .replicas
        .values()
        .any(|r| !r.node.flags.intersects(settled));
    let late = in_state(sh, master) > master.failover_timeout;
    if late {
        waiting = false;
        say(sh, master, "+failover-end-for-timeout");
    }
    if waiting {
        return;
    }
    say(sh, master, "+failover-end");
    enter(sh, master, FailoverState::UpdateConfig);
    if late {
        let renames = master.renames.clone();
        let mut replicas = std::mem::take(&mut master.replicas);
        for replica in replicas.values_mut() {
            let told = Flags::PROMOTED | Flags::RECONF_DONE | Flags::RECONF_SENT;
            if replica.node.flags.intersects(told)
                || !sh.send(replica.node.link, request.clone(), &renames)
            {
                continue;
            }
            replica.node.flags.insert(Flags::RECONF_SENT);
            let text = master.replica_text(replica, &sh.options);
            sh.event(Level::Notice, "+slave-reconf-sent-be", Some(master), text);
        }
        master.replicas = replicas;
    }
}

/// The last step, after everything else of the tick: the new master takes the old one's place.
pub fn finish(sh: &mut Shared, master: &mut Master) {
    if master.failover.state != FailoverState::UpdateConfig {
        return;
    }
    let (from, to) = (master.node.addr.clone(), master.current_addr().clone());
    hello::announce_switch(sh, master, &from, &to);
    reset_and_move(sh, master, to);
}

/// The best replica to promote: it answers, its INFO is fresh, it was not cut off from the master for long, and among
/// those the lowest priority counts, then the most data, then the smallest run id.
pub fn select(sh: &Shared, master: &Master) -> Option<Text> {
    let mut cut_off = master.down_after.saturating_mul(10);
    if master.node.is_down() {
        // From when it was last heard of: a Sentinel that took it for down late does not blame the replicas.
        let silent = sh.now - sh.links.of(master.node.link).heard;
        let mut gone = silent.max(sh.now - master.node.s_down_since);
        if master.node.role_reported == Role::Slave {
            // No master since then; its replicas are not to blame.
            gone = gone.max(sh.now - master.node.role_reported_time);
        }
        cut_off = cut_off.saturating_add(gone);
    }
    let ping = sh.timing.ping_period.min(master.down_after);
    let fresh = if master.node.is_down() {
        ping * 5
    } else {
        sh.timing.info_period * 3
    };
    let careless = sh.planted(Planted::PromotesUnreachable);
    let good = |r: &&Replica| {
        let link = sh.links.of(r.node.link);
        r.priority != 0
            && (careless
                || !r.node.is_down()
                    && link.is_connected()
                    && sh.now - link.last_avail <= ping * 5
                    && sh.now - r.node.info_refresh <= fresh
                    && r.master_link_down_time <= cut_off)
    };
    let worst = sh.planted(Planted::PromotesWorst);
    let order = |r: &&Replica| {
        let data = if worst { u64::MAX - r.offset } else { r.offset };
        (
            r.priority,
            std::cmp::Reverse(data),
            r.node.runid.is_none(),
            r.node.runid.clone(),
        )
    };
    let candidates = master.replicas.values();
    candidates
        .filter(good)
        .min_by_key(order)
        .map(|r| r.name.clone())
}

/// Forgets everything but name, settings, epochs and, if `keep_peers`, the other Sentinels.
pub fn reset(sh: &mut Shared, master: &mut Master, keep_peers: bool) {
    for replica in std::mem::take(&mut master.replicas).into_values() {
        sh.release(replica.node.link);
    }
    if !keep_peers {
        for peer in std::mem::take(&mut master.peers).into_values() {
            sh.release(peer.node.link);
        }
    }
    sh.disconnect(master.node.link);
    let now = sh.now;
    sh.links.of_mut(master.node.link).start_over(now);
    let (addr, link) = (master.node.addr.clone(), master.node.link);
    master.node = super::instance::Node::new(addr, link, Role::Master, now);
    master.forget_failover();
    master.leader = None;
    master.repl_offset = 0;
    master.collision_since = None;
}

/// Monitors another address under the same name; the old one stays known as a replica.
pub fn reset_and_move(sh: &mut Shared, master: &mut Master, to: Addr) {
    let old = master.node.addr.clone();
    let mut replicas: Vec<Addr> = master
        .replicas
        .values()
        .map(|r| r.node.addr.clone())
        .filter(|addr| !addr.same(&to))
        .collect();
    if !old.same(&to) && !sh.planted(Planted::ForgetsOldMaster) {
        replicas.push(old);
    }
    reset(sh, master, true);
    master.node.addr = to;
    for addr in replicas {
        info::add_replica(sh, master, addr);
    }
    sh.flush();
}
