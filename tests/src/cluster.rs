//! The test cluster as somebody with kubectl sees it: a namespace of the story's own.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::http::Ask;
use crate::parts::{Setting, engine_or_skip, skip};
use crate::platform::{Platform, Start};
use crate::proxy::{Behind, Proxy};
use crate::pushing::Pushing;
use crate::traffic::Traffic;
use crate::wait::{LONG, until, wait_for};

/// See the module. The namespace goes with it.
#[derive(Debug)]
pub struct Cluster {
    kubeconfig: PathBuf,
    registry: String,
    pub namespace: String,
}

impl Cluster {
    /// `None`, said to be skipped, where SLIPWAY_TEST_KUBECONFIG names no cluster.
    pub fn namespace(name: &str) -> Option<Self> {
        let Some(kubeconfig) = Setting::Kubeconfig.get() else {
            skip("SLIPWAY_TEST_KUBECONFIG names no cluster (tests/cluster/cluster start makes one)");
            return None;
        };
        let registry = Setting::ClusterRegistry.get().unwrap_or_else(|| "127.0.0.1:5999".to_owned());
        let namespace = format!("story-{name}-{}", std::process::id());
        let cluster = Self { kubeconfig: kubeconfig.into(), registry, namespace };
        cluster.kubectl(&["create", "namespace", &cluster.namespace]);
        Some(cluster)
    }

    /// The registry that this machine and the nodes know by one name.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// A platform whose releases run in this namespace.
    pub fn platform(&self) -> Start {
        self.platform_over(&self.kubeconfig)
    }

    /// One that reaches the API server by another kubeconfig.
    pub fn platform_over(&self, kubeconfig: &Path) -> Start {
        Platform::with("SLIPWAY_TARGET", "kubernetes")
            .with("SLIPWAY_KUBECONFIG", kubeconfig.display().to_string())
            .with("SLIPWAY_KUBE_NAMESPACE", &self.namespace)
            .with("SLIPWAY_REGISTRY", &self.registry)
            // By the same name, which every node knows.
            .with("SLIPWAY_REGISTRY_PULL", &self.registry)
            .with("SLIPWAY_REGISTRY_PREFIX", &self.namespace)
            // Old and new processes fit onto one small node.
            .with("SLIPWAY_PROCESS_CPUS", "0.2")
            .with("SLIPWAY_ROLLOUT_DEADLINE", "60s")
    }

    /// A proxy before the API server, and a kubeconfig (written into `folder`) that goes through it.
    pub fn proxied(&self, folder: &Path) -> (Proxy, PathBuf) {
        let mut config: Value =
            serde_json::from_str(&self.kubectl(&["config", "view", "--raw", "--minify", "-o", "json"]))
                .expect("a kubeconfig");
        let cluster = &mut config["clusters"][0]["cluster"];
        let server = cluster["server"].as_str().expect("a server").to_owned();
        let authority = server.trim_start_matches("https://").trim_end_matches('/');
        let address: SocketAddr = authority.parse().expect("an address with a port");
        let proxy = Proxy::to(Behind::Tcp(address));
        cluster["server"] = format!("https://127.0.0.1:{}", proxy.port).into();
        cluster["tls-server-name"] = address.ip().to_string().into();
        let path = folder.join("kubeconfig");
        std::fs::write(&path, config.to_string()).expect("a kubeconfig");
        (proxy, path)
    }

    /// Runs `kubectl` in the namespace; what it printed.
    pub fn kubectl(&self, words: &[&str]) -> String {
        self.kubectl_with(words, "")
    }

    fn kubectl_with(&self, words: &[&str], input: &str) -> String {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(["-n", &self.namespace]).args(words);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("written");
        let ended = child.wait_with_output().expect("kubectl's end");
        assert!(ended.status.success(), "kubectl {words:?}: {}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8_lossy(&ended.stdout).trim().to_owned()
    }

    /// What somebody else applied: a Deployment with one container, `main`, from an image in the registry.
    pub fn apply_deployment(&self, name: &str, image: &str, command: &str) {
        let labels = json!({ "app": name });
        let object = json!({ "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": name, "labels": labels },
            "spec": { "replicas": 1, "selector": { "matchLabels": labels }, "template": {
                "metadata": { "labels": labels },
                "spec": { "terminationGracePeriodSeconds": 1,
                    "containers": [{ "name": "main", "image": image, "command": ["/bin/sh", "-c", command] }] } } } });
        self.kubectl_with(&["apply", "-f", "-"], &object.to_string());
        self.kubectl(&["rollout", "status", "--timeout=60s", &format!("deployment/{name}")]);
    }

    /// The base image under a name that the nodes can pull; the name.
    pub fn base_image(&self, platform: &Platform) -> String {
        let name = format!("{}/{}/base:found", self.registry, self.namespace);
        for words in [["tag", "slipway/base:latest", &name].as_slice(), ["push", "-q", &name].as_slice()] {
            platform.engine().docker(words).expect("docker");
        }
        name
    }

    pub fn image_of(&self, deployment: &str) -> String {
        let path = "jsonpath={.spec.template.spec.containers[0].image}";
        self.kubectl(&["get", "deployment", deployment, "-o", path])
    }

    /// How many processes a Deployment is asked to run.
    pub fn replicas(&self, deployment: &str) -> String {
        self.kubectl(&["get", "deployment", deployment, "-o", "jsonpath={.spec.replicas}"])
    }

    /// Prints how many processes a Deployment is asked to run, now and whenever it changes.
    pub fn watch_replicas(&self, deployment: &str) -> Pushing {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(["-n", &self.namespace, "get", "deployment"]);
        command.args([deployment, "--watch", "-o", "jsonpath={.spec.replicas}{\"\\n\"}"]);
        Pushing::start(command)
    }

    /// Whether there is something that measures pods; if not, that was said to be why the story is skipped.
    pub fn measures(&self) -> bool {
        let measures = self.kubectl(&["get", "apiservices", "-o", "name"]).contains("v1beta1.metrics.k8s.io");
        if !measures {
            skip("the cluster has no metrics-server");
        }
        measures
    }

    /// Pods that are not on their way out, by name.
    pub fn pods(&self) -> Vec<String> {
        let listed: Value =
            serde_json::from_str(&self.kubectl(&["get", "pods", "-o", "json"])).expect("JSON");
        let pods = listed["items"].as_array().cloned().unwrap_or_default();
        let staying =
            pods.iter().map(|pod| &pod["metadata"]).filter(|pod| pod["deletionTimestamp"].is_null());
        let mut names: Vec<String> =
            staying.filter_map(|pod| pod["name"].as_str().map(str::to_owned)).collect();
        names.sort_unstable();
        names
    }

    fn address_of(&self, service: &str) -> SocketAddr {
        let field =
            |path: &str| self.kubectl(&["get", "service", service, "-o", &format!("jsonpath={{{path}}}")]);
        let ip = field(".spec.clusterIP").parse().expect("an address");
        SocketAddr::new(ip, field(".spec.ports[0].port").parse().expect("a port"))
    }

    /// Requests to a Service, one after the other.
    pub fn traffic(&self, service: &str) -> Traffic {
        Traffic::at(self.address_of(service), service.to_owned(), "/")
    }

    /// Asks the Service of a process type for `path`, at its own address.
    pub fn browse(&self, service: &str, path: &str) -> String {
        let address = self.address_of(service);
        wait_for(&format!("{service} to answer"), LONG, || {
            let answer = Ask::get(service, path).send_to(address).ok()?;
            (answer.status == 200).then(|| answer.body.trim().to_owned())
        })
    }

    pub fn until_pods(&self, count: usize) -> Vec<String> {
        until(&format!("{count} pods"), LONG, || self.pods().len() == count);
        self.pods()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- pods ---\n{}", self.kubectl(&["get", "pods", "-o", "wide"]));
        }
        self.kubectl(&["delete", "namespace", &self.namespace, "--wait=false"]);
        if let Some(engine) = engine_or_skip() {
            engine.forget_images(&format!("{}/{}", self.registry, self.namespace));
        }
    }
}
