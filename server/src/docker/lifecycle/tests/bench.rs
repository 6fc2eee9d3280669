//! A builder whose run image lies in the tests' registry, and requests for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptions, CreateImageOptionsBuilder,
    ListContainersOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
    StartContainerOptions,
};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::OnceCell;

use super::super::spec;
use super::*;
use crate::docker::build::Cache;
use crate::docker::push::PushRequest;
use crate::docker::testing::Tree;
use crate::registry::Scheme;

const BUILDER: &str = "slipway/test-builder:latest";
const RUN_IMAGE: &str = "slipway/test-run:latest";

/// A platform of its own on the engine.
pub(super) struct Bench {
    pub(super) engine: Engine,
    pub(super) tree: Tree,
    pub(super) registry: Registry,
    pub(super) builder: String,
    pub(super) owner: String,
    apps: AtomicU32,
}

impl Bench {
    /// `None`, said on the terminal, where there is no engine, registry or builder for tests.
    pub(super) async fn new() -> Option<Self> {
        static BUILDER_IN_REGISTRY: OnceCell<String> = OnceCell::const_new();
        drop(rustls::crypto::ring::default_provider().install_default());
        let engine = testing::engine().await?;
        let address = testing::registry()?;
        if engine.inspect(BUILDER).await.is_err() {
            return testing::skip("the engine has no slipway/test-builder; tests/lifecycle/build makes it");
        }
        let registry = Registry::new(&address, &address, None, Scheme::Http);
        let builder = BUILDER_IN_REGISTRY.get_or_init(|| builder(&engine, &registry, "")).await.clone();
        Some(Self::on(engine, registry, builder))
    }

    pub(super) fn on(engine: Engine, registry: Registry, builder: String) -> Self {
        let owner = format!("t{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        Self { engine, tree: Tree::new(), registry, builder, owner, apps: AtomicU32::default() }
    }

    /// A first build of an app of its own.
    pub(super) fn request(&self, trust: Trust, files: &[(&str, Given<'_>)]) -> LifecycleRequest {
        let app = format!("{}-{}", self.owner, self.apps.fetch_add(1, Ordering::Relaxed));
        LifecycleRequest {
            snapshot: self.tree.with(files),
            builder: self.builder.clone(),
            trust,
            connected_image: None,
            registry: self.registry.clone(),
            repository: format!("apps/{app}"),
            tag: "1".to_owned(),
            previous: None,
            cache: Cache::Use,
            environment: BTreeMap::new(),
            extra_ca: None,
            limits: LifecycleLimits {
                memory: 1 << 30,
                millicpu: 2000,
                deadline: PATIENCE,
                idle_deadline: PATIENCE,
            },
            owner: self.owner.clone(),
            cache_name: app,
            cancel: CancellationToken::new(),
        }
    }

    pub(super) async fn build(
        &self,
        request: &LifecycleRequest,
    ) -> (Result<LifecycleBuilt, LifecycleError>, String) {
        let (transcript, text) = testing::recorder();
        let begun = std::time::Instant::now();
        let built = self.engine.lifecycle(request, &transcript).await;
        drop(transcript);
        let text = text.await.unwrap();
        eprintln!("{text}\n{built:?} after {:?}", begun.elapsed());
        (built, text)
    }

    /// Containers and volumes of builds that are there.
    pub(super) async fn left(&self) -> Vec<String> {
        left(&self.engine, &self.owner).await
    }

    /// Runs a process of an image to its end, as a target would; what it says comes back.
    pub(super) async fn run(
        &self,
        request: &LifecycleRequest,
        built: &LifecycleBuilt,
        process: &LifecycleProcess,
    ) -> String {
        let docker = self.engine.api();
        let image = format!("{}@{}", request.registry.push_repository(&request.repository), built.digest);
        let pull = CreateImageOptionsBuilder::default().from_image(&image).build();
        docker.create_image(Some(pull), None, None).try_for_each(|_| async { Ok(()) }).await.unwrap();
        let body = ContainerCreateBody {
            image: Some(image.clone()),
            entrypoint: Some(vec![process.entrypoint()]),
            host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..Default::default() }),
            ..Default::default()
        };
        let id = docker.create_container(None::<CreateContainerOptions>, body).await.unwrap().id;
        let options = AttachContainerOptionsBuilder::default().stdout(true).stderr(true).stream(true).build();
        let attached = docker.attach_container(&id, Some(options)).await.unwrap();
        docker.start_container(&id, None::<StartContainerOptions>).await.unwrap();
        let said: Vec<_> = attached.output.map(|said| said.unwrap().to_string()).collect().await;
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        docker.remove_container(&id, Some(options)).await.unwrap();
        testing::remove_image(&self.engine, &image).await;
        said.concat()
    }

    /// Removes the caches; nothing else may be left.
    pub(super) async fn clean_up(&self) {
        for number in 0..self.apps.load(Ordering::Relaxed) {
            let name = format!("{}-{number}", self.owner);
            self.engine.remove_lifecycle_cache(&self.owner, &name).await.unwrap();
        }
        assert_eq!(self.left().await, Vec::<String>::new());
        let volumes = self.engine.api().list_volumes(None::<bollard::query_parameters::ListVolumesOptions>);
        let volumes = volumes.await.unwrap().volumes.unwrap_or_default();
        let ours: Vec<_> = volumes.iter().filter(|volume| volume.name.contains(&self.owner)).collect();
        assert!(ours.is_empty(), "{ours:?}");
    }
}

/// Names of containers and volumes of an owner's builds.
pub(super) async fn left(engine: &Engine, owner: &str) -> Vec<String> {
    let filters = HashMap::from([("label".to_owned(), vec![format!("{}={owner}", spec::OWNER)])]);
    let containers = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let containers = engine.api().list_containers(Some(containers)).await.unwrap();
    let volumes = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let volumes = engine.api().list_volumes(Some(volumes)).await.unwrap().volumes.unwrap_or_default();
    let names = containers.into_iter().filter_map(|container| container.names).flatten();
    names.chain(volumes.into_iter().map(|volume| volume.name)).collect()
}

/// A builder on top of the tests' own that names a run image in this registry, which is pushed there.
pub(super) async fn builder(engine: &Engine, registry: &Registry, more: &str) -> String {
    let (transcript, _text) = testing::recorder();
    let push = PushRequest {
        image: RUN_IMAGE.to_owned(),
        repository: registry.push_repository("stack/run"),
        tag: "1".to_owned(),
        login: registry.login().cloned(),
        cancel: CancellationToken::new(),
    };
    engine.push(&push, &transcript).await.unwrap();
    let run_image = registry.push_repository("stack/run:1");
    derived(engine, &run_image, more).await
}

/// A builder with a run image of that name, and more lines of its Dockerfile.
pub(super) async fn derived(engine: &Engine, run_image: &str, more: &str) -> String {
    let (transcript, _text) = testing::recorder();
    let metadata = serde_json::json!({ "images": [{ "image": run_image }] }).to_string();
    let dockerfile = format!("FROM {BUILDER}\nLABEL io.buildpacks.builder.metadata='{metadata}'\n{more}");
    let tag = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&dockerfile));
    let name = format!("slipway/test-builder:{}", &tag[..16]);
    let tree = Tree::new();
    let request = crate::docker::build::BuildRequest {
        tags: vec![name.clone()],
        ..testing::request(tree.with(&[("Dockerfile", File(&dockerfile))]))
    };
    engine.build(request, &transcript).await.unwrap();
    name
}
