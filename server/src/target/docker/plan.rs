//! Which containers of an app stay, which are missing, which are superfluous. Pure.

use std::collections::BTreeSet;

use super::member::{Member, Standing};
use super::spec::{self, Slot};
use crate::domain::formation::Which;
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
        // Of two for one place the better stays: one that runs and has proved itself, and of those the newest.
        plan.superfluous.sort_by_key(|member| {
            (member.is_running(), member.standing == Standing::Released, member.version)
        });
        for process in &workload.processes {
            plan.fill(process, &spec::fingerprint(workload, process), &usable);
        }
        plan
    }

    /// Those of the lowest numbers stay. A number whose process was stopped is taken again only when more are wanted.
    fn fill(&mut self, process: &'a Process, spec: &str, usable: &impl Fn(&Member) -> bool) {
        let fits =
            |member: &Member| member.slot.process == process.name && member.spec == spec && usable(member);
        let numbers = self.superfluous.iter().filter(|member| fits(member)).map(|member| member.slot.number);
        let numbers: BTreeSet<u32> = numbers.collect();
        let wanted = usize::try_from(process.quantity).unwrap_or(usize::MAX);
        let mut taken = BTreeSet::new();
        for number in numbers.into_iter().take(wanted) {
            let found =
                self.superfluous.iter().rposition(|member| member.slot.number == number && fits(member));
            self.kept.extend(found.map(|index| self.superfluous.remove(index)));
            taken.insert(number);
        }
        let free = (1..).filter(|number| !taken.contains(number)).take(wanted - taken.len());
        let slot = |number| Slot { process: process.name.clone(), number };
        self.missing.extend(free.map(|number| (slot(number), process)));
    }

    /// For a rollout: what runs and has proved itself stays, unless it is `replaced`.
    pub(super) fn of_rollout(workload: &'a Workload, members: Vec<Member>, replaced: Option<&Which>) -> Self {
        Self::new(workload, members, |member| {
            let leaves =
                replaced.is_some_and(|which| which.covers(&member.slot.process, &member.slot.to_string()));
            member.standing == Standing::Released && member.is_running() && !leaves
        })
    }
}

/// The highest version that was released among them: the fence against older rollouts.
pub(super) fn highest_released(members: &[Member]) -> i64 {
    let released = members.iter().filter(|member| member.standing == Standing::Released);
    released.map(|member| member.version).max().unwrap_or(0)
}
