//! Votes: in each epoch a Sentinel gives one vote for each master, and who has a majority of all Sentinels known, and the
//! quorum, may fail over.

use super::hello::{EPOCH_MAX, is_runid};
use super::instance::Master;
use super::shared::Shared;
use super::types::*;

/// Votes are spread over this time, so that not all Sentinels ask at once.
pub const DESYNC_MS: u64 = 1000;

/// Gives the vote of an epoch to `runid`, or says who has it. The vote is on disk before anybody hears of it.
pub fn vote(sh: &mut Shared, master: &mut Master, epoch: u64, runid: &str) -> (Option<Text>, u64) {
    if epoch > sh.current_epoch && epoch <= EPOCH_MAX {
        sh.current_epoch = epoch;
        sh.flush();
        let text = epoch.to_string();
        sh.event(Level::Warning, "+new-epoch", Some(master), text);
    }
    let free = master.leader_epoch < epoch || sh.planted(Planted::VoteTwice);
    if free && sh.current_epoch <= epoch && epoch <= EPOCH_MAX && is_runid(runid) {
        master.leader = Some(runid.into());
        master.leader_epoch = sh.current_epoch;
        if !sh.planted(Planted::VoteNotPersisted) {
            sh.flush();
        }
        let text = format!("{runid} {}", master.leader_epoch);
        sh.event(Level::Warning, "+vote-for-leader", Some(master), text);
        if runid != &*sh.my_id {
            // Whoever got the vote shall have time to use it.
            master.failover.start = sh.now + sh.rng.below(DESYNC_MS) as Ms;
        }
    }
    (master.leader.clone(), master.leader_epoch)
}

/// The winner of an epoch, if there is one; gives the own vote.
pub fn leader(sh: &mut Shared, master: &mut Master, epoch: u64) -> Option<Text> {
    let stale = sh.planted(Planted::StaleVotes);
    let mut counts: Vec<(Text, usize)> = Vec::new();
    let count = |runid: &Text, counts: &mut Vec<(Text, usize)>| match counts
        .iter_mut()
        .find(|(id, _)| id == runid)
    {
        Some((_, votes)) => *votes += 1,
        None => counts.push((runid.clone(), 1)),
    };
    for peer in master.peers.values() {
        if let Some(voted) = &peer.leader
            && (peer.leader_epoch == epoch || stale)
        {
            count(voted, &mut counts);
        }
    }
    // The own vote follows the others, so that a majority comes about.
    let favourite = counts
        .iter()
        .max_by_key(|(_, votes)| *votes)
        .map_or_else(|| sh.my_id.clone(), |(id, _)| id.clone());
    let (voted, voted_epoch) = vote(sh, master, epoch, &favourite);
    if let Some(voted) = voted
        && voted_epoch == epoch
    {
        count(&voted, &mut counts);
    }
    let (winner, votes) = counts.into_iter().max_by_key(|(_, votes)| *votes)?;
    let majority = master.peers.len().div_ceil(2) + 1;
    let needed = if sh.planted(Planted::NoMajority) {
        1
    } else {
        majority.max(master.quorum as usize)
    };
    (votes >= needed).then_some(winner)
}
