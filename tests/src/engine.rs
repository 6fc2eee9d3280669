//! The Docker engine as the tests see it: by its own command line.

use std::process::{Command, Stdio};

const PLATFORM_LABEL: &str = "dev.slipway.platform";
const APP_LABEL: &str = "dev.slipway.app";

/// A Docker engine.
#[derive(Debug, Clone)]
pub struct Engine {
    pub host: String,
}

impl Engine {
    pub fn at(host: String) -> Self {
        Self { host }
    }

    /// Why stories cannot run on it.
    pub(crate) fn missing(&self) -> Option<String> {
        let asked = self.docker(&["image", "inspect", "--format", "{{.Id}}", "slipway/base:latest"]);
        match asked {
            Ok(_) => None,
            Err(error) => Some(format!(
                "no engine with slipway/base:latest at {} (DOCKER_HOST; deploy/stack/build makes the image): {error}",
                self.host
            )),
        }
    }

    /// Runs `docker` with these words; what it printed.
    pub fn docker(&self, words: &[&str]) -> Result<String, String> {
        let ran = Command::new("docker")
            .env("DOCKER_HOST", &self.host)
            .args(words)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("docker cannot be run: {error}"))?;
        if ran.status.success() {
            Ok(String::from_utf8_lossy(&ran.stdout).trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&ran.stderr).trim().to_owned())
        }
    }

    /// Ids of the app's containers on this platform, running or not.
    pub fn containers(&self, platform: &str, app: &str) -> Vec<String> {
        self.listed(&[format!("label={PLATFORM_LABEL}={platform}"), format!("label={APP_LABEL}={app}")])
    }

    /// Ids of all containers of a platform.
    pub fn containers_of(&self, platform: &str) -> Vec<String> {
        self.listed(&[format!("label={PLATFORM_LABEL}={platform}")])
    }

    /// Who a container's process is, as its image says.
    pub fn user(&self, container: &str) -> String {
        self.docker(&["inspect", "--format", "{{.Config.User}}", container]).expect("docker inspect")
    }

    /// The image that a container runs.
    pub fn image_of(&self, container: &str) -> String {
        self.docker(&["inspect", "--format", "{{.Image}}", container]).expect("docker inspect")
    }

    /// An image's settings and history, as text.
    pub fn all_about_image(&self, image: &str) -> String {
        let settings = self.docker(&["image", "inspect", image]).expect("docker image inspect");
        let history = self.docker(&["history", "--no-trunc", image]).expect("docker history");
        format!("{settings}\n{history}")
    }

    /// Takes away the names of images below this one; what nothing else names goes with them.
    pub(crate) fn forget_images(&self, prefix: &str) {
        let filter = format!("reference={prefix}/*");
        let format = "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}";
        let listed = self.docker(&["images", "--digests", "--filter", &filter, "--format", format]);
        for name in listed.unwrap_or_default().split_whitespace().filter(|name| !name.contains("<none>")) {
            // The same name stands on several lines.
            self.docker(&["rmi", name]).ok();
        }
    }

    fn listed(&self, filters: &[String]) -> Vec<String> {
        let mut words = vec!["ps", "--all", "--quiet", "--no-trunc"];
        filters.iter().for_each(|filter| words.extend(["--filter", filter]));
        let listed = self.docker(&words).expect("docker ps");
        let mut ids: Vec<String> = listed.lines().map(str::to_owned).collect();
        ids.sort_unstable();
        ids
    }
}
