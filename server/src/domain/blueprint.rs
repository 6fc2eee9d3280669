//! What is known of an image's processes: stored with each build and release, so that a rollback needs no guess.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::app_json::AppJson;
use super::cron::CronEntry;
use super::health::AllChecks;
use super::image::ImageSource;
use super::names::ProcessType;

/// The port that a web process is told in `PORT` when its image names none.
pub(crate) const DEFAULT_PORT: u16 = 8080;

/// How an image's processes are started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Blueprint {
    /// The command of each process type; `None` is the image's own.
    pub(crate) processes: BTreeMap<ProcessType, Option<String>>,
    /// What a web process is told in `PORT`.
    pub(crate) port: u16,
    /// What runs before the processes move, at every release; the Procfile's `release` line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) release: Option<String>,
    /// What runs after the app's first release; `scripts.postdeploy` of app.json.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) postdeploy: Option<String>,
    /// What a clock starts; `cron` of app.json.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) cron: Vec<CronEntry>,
    /// The image that those run in, where it is not the release's own: that of the build they came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) batch_image: Option<ImageSource>,
    /// The images of process types that do not run the one image of a build: prebuilt ones, or what a type had before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) images: BTreeMap<ProcessType, ImageSource>,
    /// `healthchecks` of app.json.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) checks: AllChecks,
}

/// An image that was built elsewhere, and the ports that it exposes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prebuilt {
    pub(crate) source: ImageSource,
    pub(crate) exposed_ports: Vec<u16>,
}

impl Blueprint {
    /// What runs when these images take the places of process types, each with the image's own command. Types that are
    /// not named go on as in the release `before`, whose image is given.
    pub(crate) fn prebuilt(
        before: Option<(Self, ImageSource)>,
        named: &BTreeMap<ProcessType, Prebuilt>,
    ) -> Self {
        let mut next = match before {
            Some((before, image)) => before.pinned_to(&image),
            None => Self { processes: BTreeMap::new(), ..Self::new(None, &[]) },
        };
        for (name, prebuilt) in named {
            next.processes.insert(name.clone(), None);
            next.images.insert(name.clone(), prebuilt.source.clone());
            // They were of another program.
            next.checks.remove(name);
            if name.is_web() {
                next.port = port_of(&prebuilt.exposed_ports);
            }
        }
        next
    }

    /// With an image of its own for all that runs: `image`, unless it has another already.
    fn pinned_to(mut self, image: &ImageSource) -> Self {
        for name in self.processes.keys() {
            self.images.entry(name.clone()).or_insert_with(|| image.clone());
        }
        if self.release.is_some() || self.postdeploy.is_some() || !self.cron.is_empty() {
            self.batch_image.get_or_insert_with(|| image.clone());
        }
        self
    }

    /// With the checks that app.json asks for.
    pub(crate) fn with_checks(self, checks: &AllChecks) -> Self {
        Self { checks: checks.clone(), ..self }
    }

    /// The image that stands for the release: web's, or else that of the first type. `None` if it is the build's.
    pub(crate) fn main_image(&self) -> Option<&ImageSource> {
        self.images.get(&ProcessType::web()).or_else(|| self.images.values().next())
    }

    /// From the Procfile if it names a process, else one `web` process with the image's own command. An image that
    /// exposes exactly one TCP port gets that one as `PORT`.
    pub(crate) fn new(procfile: Option<BTreeMap<ProcessType, String>>, exposed: &[u16]) -> Self {
        let (phases, lasting): (BTreeMap<_, _>, BTreeMap<_, _>) =
            procfile.unwrap_or_default().into_iter().partition(|(name, _)| name.is_release_phase());
        let processes = if lasting.is_empty() {
            BTreeMap::from([(ProcessType::web(), None)])
        } else {
            lasting.into_iter().map(|(name, command)| (name, Some(command))).collect()
        };
        Self {
            processes,
            port: port_of(exposed),
            release: phases.into_values().next(),
            postdeploy: None,
            cron: Vec::new(),
            batch_image: None,
            images: BTreeMap::new(),
            checks: AllChecks::new(),
        }
    }

    /// With what app.json says besides.
    pub(crate) fn with(self, app_json: &AppJson) -> Self {
        Self { postdeploy: app_json.postdeploy.clone(), cron: app_json.cron.clone(), ..self }
    }
}

fn port_of(exposed: &[u16]) -> u16 {
    match exposed {
        [port] => *port,
        _ => DEFAULT_PORT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_procfile_the_image_runs_as_web() {
        let blueprint = Blueprint::new(None, &[]);
        assert_eq!(blueprint.processes, BTreeMap::from([(ProcessType::web(), None)]));
        assert_eq!(blueprint.port, DEFAULT_PORT);
    }

    #[test]
    fn one_exposed_port_is_the_port_and_two_are_no_answer() {
        assert_eq!(Blueprint::new(None, &[5000]).port, 5000);
        assert_eq!(Blueprint::new(None, &[5000, 6000]).port, DEFAULT_PORT);
    }

    fn prebuilt(name: &str, exposed_ports: &[u16]) -> Prebuilt {
        Prebuilt { source: ImageSource::built(name, "sha256:1"), exposed_ports: exposed_ports.to_vec() }
    }

    #[test]
    fn a_prebuilt_image_takes_the_place_of_its_type_and_the_others_stay_as_they_are() {
        let procfile = crate::domain::procfile::parse("web: a\nworker: b\nrelease: c").expect("parses");
        let built = Blueprint::new(Some(procfile), &[5000]);
        assert_eq!(built.release.as_deref(), Some("c"));
        let image = ImageSource::built("slipway/blog:1", "sha256:0");
        let (web, worker) = (ProcessType::web(), "worker".parse::<ProcessType>().expect("a type"));

        let named = BTreeMap::from([(worker.clone(), prebuilt("jobs:1", &[9000]))]);
        let mixed = Blueprint::prebuilt(Some((built, image.clone())), &named);
        assert_eq!((mixed.port, mixed.processes[&web].as_deref()), (5000, Some("a")));
        assert_eq!((&mixed.images[&web], &mixed.processes[&worker]), (&image, &None));
        assert_eq!(mixed.main_image(), Some(&image));
        assert_eq!((mixed.release.as_deref(), &mixed.batch_image), (Some("c"), &Some(image.clone())));

        let named = BTreeMap::from([(web.clone(), prebuilt("site:1", &[9000]))]);
        let both = Blueprint::prebuilt(Some((mixed, image.clone())), &named);
        assert_eq!((both.port, both.images[&worker].repository.as_str()), (9000, "jobs"));
        assert_eq!(Blueprint::prebuilt(None, &named).processes, BTreeMap::from([(web, None)]));
    }

    #[test]
    fn what_was_stored_before_there_were_prebuilt_images_is_read() {
        let stored = serde_json::json!({ "processes": { "web": null }, "port": 8080 });
        let blueprint: Blueprint = serde_json::from_value(stored.clone()).expect("reads");
        assert_eq!(blueprint.main_image(), None);
        assert_eq!(serde_json::to_value(blueprint).expect("writes"), stored);
    }

    #[test]
    fn the_release_phase_is_no_process() {
        let procfile = crate::domain::procfile::parse("web: a\nrelease: b").expect("parses");
        let blueprint = Blueprint::new(Some(procfile), &[]);
        assert_eq!(blueprint.processes.keys().map(ProcessType::as_str).collect::<Vec<_>>(), ["web"]);
        assert_eq!(blueprint.release.as_deref(), Some("b"));
    }

    #[test]
    fn a_procfile_with_a_release_phase_alone_leaves_web_to_the_image() {
        let procfile = crate::domain::procfile::parse("release: b").expect("parses");
        let blueprint = Blueprint::new(Some(procfile), &[]);
        assert_eq!(blueprint.processes, BTreeMap::from([(ProcessType::web(), None)]));
    }

    #[test]
    fn a_blueprint_that_was_stored_before_there_were_phases_is_read() {
        let stored = serde_json::json!({ "processes": { "web": null }, "port": 8080 });
        let blueprint: Blueprint = serde_json::from_value(stored.clone()).expect("reads");
        assert_eq!((&blueprint.release, &blueprint.postdeploy), (&None, &None));
        assert_eq!(serde_json::to_value(blueprint).expect("writes"), stored);
    }
}
