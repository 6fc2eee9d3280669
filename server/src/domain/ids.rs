//! Identifiers: UUID v7 (sortable by time), one type for each kind of thing.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    // One that the database makes.
    (theirs $(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub(crate) struct $name(pub(crate) Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
    ($(#[$doc:meta])* $name:ident) => {
        id!(theirs $(#[$doc])* $name);

        impl $name {
            /// A fresh identifier, later than all before it.
            pub(crate) fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }
    };
}

id!(
    /// An app.
    AppId
);
id!(
    /// One attempt to turn a commit into an image.
    BuildId
);
id!(
    /// One numbered release of an app.
    ReleaseId
);
id!(
    /// A command that runs unattended to its end beside an app's processes.
    BatchId
);
id!(
    /// A pipeline of apps.
    PipelineId
);
id!(
    /// A person or a machine with an account.
    UserId
);
id!(
    /// A team: the owner of apps.
    TeamId
);
id!(
    /// An API token.
    TokenId
);
id!(
    /// An SSH key.
    KeyId
);
id!(
    /// Something that was asked of an app's processes: scale, restart, stop.
    ChangeId
);
id!(
    /// A job in the queue.
    JobId
);
id!(
    /// Where an app's log is sent.
    DrainId
);
id!(
    /// A reader of an app's log by its address alone.
    SessionId
);
id!(
    /// Somebody signed in at the web page.
    WebSessionId
);
id!(
    /// Something that a host, the search or a person has told of an app's repository.
    DeliveryId
);
id!(
    /// Somebody who is told of an app's builds and releases.
    WebhookId
);
id!(
    theirs
    /// Something that web hooks of ours tell.
    WebhookEventId
);
id!(
    theirs
    /// An event on its way to one web hook of ours.
    WebhookDeliveryId
);
