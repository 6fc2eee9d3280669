//! What lies in a container before it starts, and what is read from it when it has ended.

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use slipway_buildpacks::{ADDED_VARIABLE, BUNDLE_VARIABLES};

use super::archive::Archive;
use super::phase::Phase;
use super::spec::{self, Desk};
use super::{Job, LifecycleError};
use crate::docker::build;
use crate::target::RegistryLogin;

/// A binding as the platform specification has it; Paketo's buildpacks take such certificates up.
const BINDING: &str = "/platform/bindings/slipway-extra-ca";

/// Files of one phase that later ones go by.
#[derive(Default)]
pub(super) struct Papers {
    pub(super) analyzed: Option<Bytes>,
    pub(super) group: Option<Bytes>,
    pub(super) plan: Option<Bytes>,
}

impl Papers {
    /// Whether the buildpacks that were found are not all buildpacks.
    pub(super) fn has_extensions(&self) -> bool {
        let group: Option<toml::Table> = toml::from_slice(self.group.as_deref().unwrap_or_default()).ok();
        let extensions = group.as_ref().and_then(|group| group.get("group-extensions")?.as_array());
        extensions.is_some_and(|extensions| !extensions.is_empty())
    }
}

impl Job<'_> {
    /// A file that the lifecycle left in its container.
    pub(super) async fn paper(&self, container: &str, path: &'static str) -> Result<Bytes, LifecycleError> {
        let taken = self.engine.take(container, path).await?;
        taken.ok_or_else(|| LifecycleError::Incomplete { builder: self.request.builder.clone(), lack: path })
    }
}

/// Folders that shall belong to the builder's user, papers, login, environment and certificates, as a tar archive.
pub(super) async fn furniture(job: &Job<'_>, phase: Phase, papers: &Papers, desk: &Desk) -> Bytes {
    let mut archive = Archive::new(Vec::new(), job.builder.owner);
    let mounted = [
        (phase.has_layers(), spec::LAYERS),
        (phase.has_the_source(), spec::SOURCE),
        (phase.has_the_cache(), spec::CACHED),
        (true, spec::DESK),
    ];
    for (_, folder) in mounted.iter().filter(|(there, _)| *there) {
        archive.folder(folder, 0o755);
    }
    let papers =
        [(spec::ANALYZED, &papers.analyzed), (spec::GROUP, &papers.group), (spec::PLAN, &papers.plan)];
    for (path, text) in papers {
        if let Some(text) = text {
            archive.file(path, 0o644, text);
        }
    }
    if phase.talks_to_the_registry()
        && let Some(login) = job.request.registry.login()
    {
        archive.folder(&desk.login, 0o700);
        archive.file(
            &format!("{}/config.json", desk.login),
            0o400,
            docker_config(login).expose_secret().as_bytes(),
        );
    }
    if job.request.extra_ca.is_some() || phase.runs_buildpacks() {
        archive.folder(spec::PLATFORM, 0o755);
    }
    if let Some(extra) = &job.request.extra_ca {
        certificates(&mut archive, extra).await;
    }
    if phase.runs_buildpacks() {
        environment(&mut archive, job);
    }
    archive.finish().into()
}

/// The login as Docker's own client keeps it, which the lifecycle reads.
fn docker_config(login: &RegistryLogin) -> SecretString {
    let RegistryLogin { host, username, password } = login;
    let entry = json!({ "username": username, "password": password.expose_secret() });
    json!({ "auths": { host: entry } }).to_string().into()
}

async fn certificates(archive: &mut Archive<Vec<u8>>, extra: &[u8]) {
    archive.folder("/platform/certificates", 0o755);
    archive.file(spec::BUNDLE, 0o444, build::bundle_with(extra).await.as_bytes());
    archive.file(spec::EXTRA_CA, 0o444, extra);
    archive.folder("/platform/bindings", 0o755);
    archive.folder(BINDING, 0o755);
    archive.file(&format!("{BINDING}/type"), 0o444, b"ca-certificates");
    archive.file(&format!("{BINDING}/extra.pem"), 0o444, extra);
}

/// A file a variable. The app's own word comes before ours.
fn environment(archive: &mut Archive<Vec<u8>>, job: &Job<'_>) {
    archive.folder("/platform/env", 0o700);
    let theirs = &job.request.environment;
    if job.request.extra_ca.is_some() {
        let bundle = BUNDLE_VARIABLES.map(|variable| (variable, spec::BUNDLE));
        let ours = bundle.into_iter().chain([(ADDED_VARIABLE, spec::EXTRA_CA)]);
        for (variable, path) in ours.filter(|(ours, _)| theirs.keys().all(|key| key.as_str() != *ours)) {
            archive.file(&format!("/platform/env/{variable}"), 0o400, path.as_bytes());
        }
    }
    for (key, value) in theirs {
        archive.file(&format!("/platform/env/{key}"), 0o400, value.expose_secret().as_bytes());
    }
}

/// The text of this key in a TOML document, in whatever table it lies: the papers that are read have it once, or want the
/// first of a list. `None` if there is none, or the document is no TOML.
pub(super) fn string_of(text: &str, key: &str) -> Option<String> {
    find(&toml::Value::Table(toml::from_str(text).ok()?), key).map(str::to_owned)
}

fn find<'v>(value: &'v toml::Value, key: &str) -> Option<&'v str> {
    match value {
        toml::Value::Table(table) => {
            let own = table.get(key).and_then(toml::Value::as_str);
            own.or_else(|| table.values().find_map(|value| find(value, key)))
        }
        toml::Value::Array(values) => values.iter().find_map(|value| find(value, key)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_found_in_toml() {
        let report =
            "[build]\n\n[image]\n  tags = [\"r/a:1\"]\n  digest = \"sha256:ab\"\n  manifest-size = 3\n";
        assert_eq!(string_of(report, "digest").as_deref(), Some("sha256:ab"));
        assert_eq!(string_of(report, "image-id"), None);
        assert_eq!(string_of("[[images]]\nimage=\"a/run\"", "image").as_deref(), Some("a/run"));
        assert_eq!(
            string_of("image = { digest = 'sha256:ab' } # short", "digest").as_deref(),
            Some("sha256:ab")
        );
        assert_eq!(string_of("text = '''\ndigest = \"none\"\n'''", "digest"), None);
        assert_eq!(string_of("digest = ", "digest"), None);
    }

    #[test]
    fn extensions_show_in_the_group() {
        let of = |group: &'static str| Papers { group: Some(group.into()), ..Papers::default() };
        assert!(of("[[group]]\nid = \"a\"\n[[group-extensions]]\nid = \"b\"\n").has_extensions());
        assert!(of("group-extensions = [{ id = \"b\" }]").has_extensions());
        assert!(!of("[[group]]\nid = \"a\"\n").has_extensions());
        assert!(!Papers::default().has_extensions());
    }

    #[test]
    fn a_login_is_written_as_docker_does_and_is_no_plain_text() {
        let login = RegistryLogin {
            host: "r:5000".into(),
            username: "u".into(),
            password: "p\"\\".to_owned().into(),
        };
        let config = docker_config(&login);
        assert_eq!(config.expose_secret(), r#"{"auths":{"r:5000":{"password":"p\"\\","username":"u"}}}"#);
        assert!(!format!("{config:?}").contains("r:5000"));
    }
}
