//! What is known of an image's processes: stored with each build and release, so that a rollback needs no guess.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
    /// The images of process types that do not run the one image of a build: prebuilt ones, or what a type had before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) images: BTreeMap<ProcessType, ImageSource>,
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
        let (mut processes, mut images, mut port) = (BTreeMap::new(), BTreeMap::new(), DEFAULT_PORT);
        if let Some((before, image)) = before {
            for name in before.processes.keys() {
                let own = before.images.get(name).unwrap_or(&image);
                images.insert(name.clone(), own.clone());
            }
            (processes, port) = (before.processes, before.port);
        }
        for (name, prebuilt) in named {
            processes.insert(name.clone(), None);
            images.insert(name.clone(), prebuilt.source.clone());
            if name.is_web() {
                port = port_of(&prebuilt.exposed_ports);
            }
        }
        Self { processes, port, images }
    }

    /// The image that stands for the release: web's, or else that of the first type. `None` if it is the build's.
    pub(crate) fn main_image(&self) -> Option<&ImageSource> {
        self.images.get(&ProcessType::web()).or_else(|| self.images.values().next())
    }

    /// From the Procfile if there is one, else one `web` process with the image's own command. An image that exposes
    /// exactly one TCP port gets that one as `PORT`.
    pub(crate) fn new(procfile: Option<BTreeMap<ProcessType, String>>, exposed: &[u16]) -> Self {
        let processes = match procfile {
            Some(commands) => commands
                .into_iter()
                .filter(|(name, _)| !name.is_release_phase())
                .map(|(name, command)| (name, Some(command)))
                .collect(),
            None => BTreeMap::from([(ProcessType::web(), None)]),
        };
        Self { processes, port: port_of(exposed), images: BTreeMap::new() }
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
        let procfile = crate::domain::procfile::parse("web: a\nworker: b").expect("parses");
        let built = Blueprint::new(Some(procfile), &[5000]);
        let image = ImageSource::built("slipway/blog:1", "sha256:0");
        let (web, worker) = (ProcessType::web(), "worker".parse::<ProcessType>().expect("a type"));

        let named = BTreeMap::from([(worker.clone(), prebuilt("jobs:1", &[9000]))]);
        let mixed = Blueprint::prebuilt(Some((built, image.clone())), &named);
        assert_eq!((mixed.port, mixed.processes[&web].as_deref()), (5000, Some("a")));
        assert_eq!((&mixed.images[&web], &mixed.processes[&worker]), (&image, &None));
        assert_eq!(mixed.main_image(), Some(&image));

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
    }
}
