//! Settings: parsed once, a struct a section, each with its environment variable.
//!
//! Nothing else in the program reads the environment. A secret can be given as a file too, and never prints itself.

mod check;
mod doors;
mod github_app;
mod hooks;
mod limits;
mod openid;
mod page;
mod parts;
mod sizes;
mod value;

pub(crate) use check::{ConfigError, check_pull_address};
pub(crate) use doors::{AppsSettings, HttpSettings, SshSettings, TlsFiles};
pub(crate) use github_app::{GithubAppSettings, OpenTo, Place};
pub(crate) use hooks::HookSettings;
pub(crate) use limits::{BuildSettings, LifecycleSettings, LimitSettings, ProcessSettings, RolloutSettings};
pub(crate) use openid::OpenIdSettings;
pub(crate) use page::settings_page;
pub(crate) use parts::{
    DataSettings, DatabaseSettings, DockerSettings, DrainSettings, KubernetesSettings, LifeSettings,
    LogFormat, LogSettings, RegistrySettings, Target,
};
pub(crate) use sizes::{Size, Sizes};

/// Everything that `slipway serve` can be told. With nothing told, one machine is enough.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) data: DataSettings,
    #[command(flatten)]
    pub(crate) http: HttpSettings,
    #[command(flatten)]
    pub(crate) openid: OpenIdSettings,
    #[command(flatten)]
    pub(crate) ssh: SshSettings,
    #[command(flatten)]
    pub(crate) apps: AppsSettings,
    #[command(flatten)]
    pub(crate) database: DatabaseSettings,
    #[command(flatten)]
    pub(crate) registry: RegistrySettings,
    #[command(flatten)]
    pub(crate) docker: DockerSettings,
    #[command(flatten)]
    pub(crate) kubernetes: KubernetesSettings,
    #[command(flatten)]
    pub(crate) build: BuildSettings,
    #[command(flatten)]
    pub(crate) lifecycle: LifecycleSettings,
    #[command(flatten)]
    pub(crate) processes: ProcessSettings,
    #[command(flatten)]
    pub(crate) rollout: RolloutSettings,
    #[command(flatten)]
    pub(crate) limits: LimitSettings,
    #[command(flatten)]
    pub(crate) drains: DrainSettings,
    #[command(flatten)]
    pub(crate) hooks: HookSettings,
    #[command(flatten)]
    pub(crate) life: LifeSettings,
    #[command(flatten)]
    pub(crate) log: LogSettings,
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        serve: ServeArgs,
    }

    /// Settings as the flags would give them.
    pub(crate) fn serve(flags: &[&str]) -> ServeArgs {
        try_serve(flags).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn try_serve(flags: &[&str]) -> Result<ServeArgs, clap::Error> {
        let flags = ["slipway"].iter().chain(flags);
        Program::try_parse_from(flags).map(|program| program.serve)
    }

    #[test]
    fn no_setting_at_all_is_a_whole_platform_on_loopback() {
        let args = serve(&[]);
        assert!(args.http.listen.ip().is_loopback());
        assert!(args.ssh.listen.ip().is_loopback());
        assert!(args.apps.listen.ip().is_loopback());
        assert_eq!(args.kubernetes.target(), Target::Docker);
        assert_eq!(args.check().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn secrets_print_themselves_nowhere() {
        let args = serve(&[
            "--database-url=postgres://u:hunter2@db/x",
            "--registry=r.example.com",
            "--registry-username=u",
            "--registry-password=hunter2",
        ]);
        assert!(!format!("{args:?}").contains("hunter2"));
    }
}
