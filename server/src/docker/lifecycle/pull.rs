//! Gets an image that the engine lacks.

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::TryStreamExt;
use secrecy::ExposeSecret;

use super::{LifecycleError, LifecycleRequest};
use crate::docker::images::ImageFacts;
use crate::docker::{Engine, EngineError};
use crate::target::RegistryLogin;
use crate::transcript::Transcript;

impl Engine {
    /// The image with its tag, and what it declares. One that is there is taken as it is.
    pub(super) async fn image_of(
        &self,
        name: &str,
        request: &LifecycleRequest,
        transcript: &Transcript,
    ) -> Result<(String, ImageFacts), LifecycleError> {
        let image = with_tag(name);
        match self.inspect(&image).await {
            Err(EngineError::NoSuchImage(_)) => {}
            inspected => return Ok((image, inspected?)),
        }
        transcript.step(format!("Pulling {image}")).await;
        let login = request.registry.login().filter(|login| image.starts_with(&format!("{}/", login.host)));
        let options = CreateImageOptionsBuilder::default().from_image(&image).build();
        let pulling = self.api().create_image(Some(options), None, login.map(credentials));
        match pulling.try_for_each(|_| async { Ok(()) }).await {
            Ok(()) => {}
            Err(
                Error::DockerResponseServerError { message, .. }
                | Error::DockerStreamError { error: message },
            ) => return Err(LifecycleError::NoBuilder { builder: name.to_owned(), message }),
            Err(error) => return Err(self.explain(error).into()),
        }
        let facts = self.inspect(&image).await?;
        Ok((image, facts))
    }
}

fn credentials(login: &RegistryLogin) -> DockerCredentials {
    DockerCredentials {
        username: Some(login.username.clone()),
        password: Some(login.password.expose_secret().to_owned()),
        serveraddress: Some(login.host.clone()),
        ..Default::default()
    }
}

/// Without a tag the engine would pull all of them.
fn with_tag(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_tag_is_the_latest() {
        assert_eq!(with_tag("heroku/builder"), "heroku/builder:latest");
        assert_eq!(with_tag("r:5000/builder"), "r:5000/builder:latest");
        for whole in ["heroku/builder:24", "r:5000/b@sha256:00", "b:1"] {
            assert_eq!(with_tag(whole), whole);
        }
    }
}
