//! The phases of a build, and what each needs.

/// One run of the lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// All of them.
    Create,
    /// What the registry has: run image, previous image, the right to write.
    Analyze,
    /// Which buildpacks fit.
    Detect,
    /// Layers of the cache.
    Restore,
    /// The buildpacks' work.
    Build,
    /// Layers to the registry and to the cache.
    Export,
}

impl Phase {
    /// Of all phases but `Create`, in their order.
    const SINGLE: [Self; 5] = [Self::Analyze, Self::Detect, Self::Restore, Self::Build, Self::Export];

    /// The program's name in `/cnb/lifecycle`.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Create => "creator",
            Self::Analyze => "analyzer",
            Self::Detect => "detector",
            Self::Restore => "restorer",
            Self::Build => "builder",
            Self::Export => "exporter",
        }
    }

    /// As the lifecycle itself announces it.
    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::Create => "CREATING",
            Self::Analyze => "ANALYZING",
            Self::Detect => "DETECTING",
            Self::Restore => "RESTORING",
            Self::Build => "BUILDING",
            Self::Export => "EXPORTING",
        }
    }

    pub(super) fn headed(heading: &str) -> Option<Self> {
        Self::SINGLE.into_iter().find(|phase| phase.heading() == heading)
    }

    /// These get the login, and the machine's network where the registry is on loopback.
    pub(super) fn talks_to_the_registry(self) -> bool {
        matches!(self, Self::Create | Self::Analyze | Self::Restore | Self::Export)
    }

    /// Code of the builder's and of the app's runs here.
    pub(super) fn runs_buildpacks(self) -> bool {
        matches!(self, Self::Create | Self::Detect | Self::Build)
    }

    /// The first phase that needs the source; later ones find it in its volume.
    pub(super) fn brings_the_source(self) -> bool {
        matches!(self, Self::Create | Self::Detect)
    }

    pub(super) fn has_the_source(self) -> bool {
        matches!(self, Self::Create | Self::Detect | Self::Build | Self::Export)
    }

    /// Not in `Detect`, where buildpacks have nothing to write yet.
    pub(super) fn has_layers(self) -> bool {
        self != Self::Detect
    }

    pub(super) fn has_the_cache(self) -> bool {
        matches!(self, Self::Create | Self::Restore | Self::Export)
    }
}
