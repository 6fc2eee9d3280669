//! Identifiers: UUID v7 (sortable by time), one type for each kind of thing.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub(crate) struct $name(pub(crate) Uuid);

        impl $name {
            /// A fresh identifier, later than all before it.
            pub(crate) fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
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
