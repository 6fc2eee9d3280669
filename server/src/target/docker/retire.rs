//! The end of old processes: no new requests, the last ones answered, SIGTERM, the grace, gone.

use bollard::query_parameters::StopContainerOptions;

use super::member::Member;
use super::{DockerTarget, locked};

impl DockerTarget {
    /// Ends the containers in a task of its own: nobody waits for old processes. What a crash of the server leaves
    /// undone, `reconcile` does.
    pub(super) fn retire(&self, members: Vec<Member>) {
        if members.is_empty() {
            return;
        }
        self.mark_retiring(members.iter().map(|member| &member.id));
        let target = self.clone();
        self.tasks.spawn(async move { target.retire_marked(members).await });
    }

    /// Removes containers that never got a request, in a task of its own: the app's lock is not held for that.
    pub(super) fn discard_later(&self, ids: Vec<String>) {
        self.mark_retiring(&ids);
        let target = self.clone();
        self.tasks.spawn(async move {
            futures::future::join_all(ids.iter().map(|id| target.discard(id))).await;
            target.unmark_retiring(&ids);
        });
    }

    /// Ends the containers and returns when they are gone.
    pub(super) async fn retire_now(&self, members: Vec<Member>) {
        self.mark_retiring(members.iter().map(|member| &member.id));
        self.retire_marked(members).await;
    }

    /// At once, so that no later rollout counts on them.
    fn mark_retiring<'a>(&self, ids: impl IntoIterator<Item = &'a String>) {
        locked(&self.shared.retiring).extend(ids.into_iter().cloned());
    }

    fn unmark_retiring<'a>(&self, ids: impl IntoIterator<Item = &'a String>) {
        let mut retiring = locked(&self.shared.retiring);
        for id in ids {
            retiring.remove(id);
        }
    }

    async fn retire_marked(&self, members: Vec<Member>) {
        futures::future::join_all(members.iter().map(|member| self.end(member))).await;
        self.unmark_retiring(members.iter().map(|member| &member.id));
    }

    async fn end(&self, member: &Member) {
        if let Some(address) = member.address.filter(|_| member.is_running()) {
            match self.router.drained(address, self.settings.drain).await {
                Ok(0) => {}
                Ok(left) => {
                    tracing::warn!(app = %member.app, process = %member.slot, left, "Ending with requests in flight");
                }
                Err(error) => tracing::warn!(error = %error, "Ending a process without knowing its requests"),
            }
        }
        // SIGTERM, and after the grace that the container was made with, SIGKILL.
        if let Err(error) = self.docker.stop_container(&member.id, None::<StopContainerOptions>).await {
            tracing::debug!(container = member.id, error = %error, "A container did not stop in time");
        }
        self.discard(&member.id).await;
        tracing::info!(app = %member.app, process = %member.slot, version = member.version, "Ended an old process");
    }
}
