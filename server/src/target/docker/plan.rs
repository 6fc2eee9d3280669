//! Which containers of an app stay, which are missing, which are superfluous. Pure.

use super::member::{Member, Standing};
use super::spec::{self, Slot};
use crate::target::{Process, Workload};

/// The way from what is there to what shall be.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// Released, running, and exactly what the workload asks for.
    pub(super) kept: Vec<Member>,
    /// Places without such a container.
    pub(super) missing: Vec<(Slot, &'a Process)>,
    /// All others.
    pub(super) superfluous: Vec<Member>,
}

impl<'a> Plan<'a> {
    /// `usable` says which of the containers that match may stay.
    pub(super) fn new(
        workload: &'a Workload,
        members: Vec<Member>,
        usable: impl Fn(&Member) -> bool,
    ) -> Self {
        let mut plan = Self { kept: Vec::new(), missing: Vec::new(), superfluous: members };
        // Of two for one place the better stays: one that runs, and of those the newest.
        plan.superfluous.sort_by_key(|member| (member.is_running(), member.version));
        for process in &workload.processes {
            let spec = spec::fingerprint(workload, process);
            for number in 1..=process.quantity {
                let slot = Slot { process: process.name.clone(), number };
                let found = plan
                    .superfluous
                    .iter()
                    .rposition(|member| member.slot == slot && member.spec == spec && usable(member));
                match found {
                    Some(index) => plan.kept.push(plan.superfluous.remove(index)),
                    None => plan.missing.push((slot, process)),
                }
            }
        }
        plan
    }

    /// For a rollout: what runs and has proved itself stays.
    pub(super) fn of_rollout(workload: &'a Workload, members: Vec<Member>) -> Self {
        Self::new(workload, members, |member| member.standing == Standing::Released && member.is_running())
    }
}

/// The highest version that was released among them: the fence against older rollouts.
pub(super) fn highest_released(members: &[Member]) -> i64 {
    let released = members.iter().filter(|member| member.standing == Standing::Released);
    released.map(|member| member.version).max().unwrap_or(0)
}
