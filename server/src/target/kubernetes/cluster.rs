//! The apiserver as seen from here: typed handles, bounded retries, and errors sorted by what the caller does next.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::Status;
use kube::{Client, Config, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Credentials;
use super::lanes::{Lanes, Place};
use crate::target::RolloutError;

/// Who we are in `managedFields`; one name, so that what an apply leaves out is removed.
pub(super) const FIELD_MANAGER: &str = "slipway";
/// How long one request may take, connection included.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Objects that are read at a time where all apps are looked at.
const PAGE: u32 = 50;
/// Delays between tries: 0.1 s doubling to 2 s, about 7 s in all, so that a restart of the apiserver is bridged.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(2);
const RETRIES: usize = 7;

/// Why the credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the kubeconfig cannot be used: {0}. Check the setting for its path and context")]
    Kubeconfig(#[from] KubeconfigError),
    #[error(
        "there is no service account of a pod here: {0}. Outside a cluster, set the path of a kubeconfig instead"
    )]
    InCluster(#[from] InClusterError),
    #[error("the cluster's address or certificates cannot be used: {0}")]
    Client(#[from] kube::Error),
    #[error("the kubeconfig's tls-server-name is no name of a server: {0}")]
    ServerName(rustls::pki_types::InvalidDnsNameError),
    #[error("the Kubernetes API server did not answer within {} s", REQUEST_TIMEOUT.as_secs())]
    Silent,
}

/// Why one request led to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(
        "the Kubernetes API server did not answer ({doing}: {cause}). It is tried again when the server is back"
    )]
    Unreachable { doing: String, cause: String },
    #[error("Kubernetes refused {doing}: {}. {}", .status.message, next_step(.status))]
    Refused { doing: String, status: Box<Status> },
    #[error("a newer release runs there already")]
    Newer,
}

impl Fault {
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if status.code == 409)
    }

    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if status.code == 404)
    }

    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if status.code == 403)
    }
}

impl From<Fault> for RolloutError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unreachable { .. } => Self::Unreachable(fault.to_string()),
            Fault::Refused { .. } => Self::Failed(fault.to_string()),
            Fault::Newer => Self::Interrupted,
        }
    }
}

/// What somebody can do about a refusal, by what the apiserver says.
fn next_step(status: &Status) -> &'static str {
    if status.message.contains("exceeded quota") {
        "Raise the namespace's ResourceQuota, or lower the process' limits or quantity, and push again"
    } else if status.code == 403 {
        "Give the platform's account this right; deploy/kubernetes/rbac.yaml has all that it needs"
    } else if status.code == 404 && status.message.contains("namespaces") {
        "Make the namespace with `kubectl create namespace`, or set another one"
    } else {
        "Nothing was changed by this request; correct the cause and push again"
    }
}

/// A client and the namespace in which it works.
#[derive(Clone)]
pub(super) struct Cluster {
    client: Client,
    /// The apiserver's.
    address: String,
    namespace: String,
    /// For requests that do not end.
    pub(super) lanes: Lanes,
}

impl Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Cluster {
    pub(super) async fn connect(
        credentials: &Credentials,
        namespace: Option<String>,
    ) -> Result<Self, ConnectError> {
        let mut config = match credentials {
            Credentials::Kubeconfig { path, context } => {
                let options = KubeConfigOptions { context: context.clone(), ..Default::default() };
                Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?
            }
            Credentials::InCluster => Config::incluster()?,
        };
        // Retries are ours, bounded and with a deadline each. A read timeout stays unset: it would cut idle logs.
        config.default_retry = false;
        config.connect_timeout = Some(REQUEST_TIMEOUT);
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        let address = config.cluster_url.to_string();
        let lanes = Lanes::new(config.clone());
        Ok(Self { client: Client::try_from(config)?, address, namespace, lanes })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// A place for a log that is followed, or for a watch.
    pub(super) async fn place_to_listen(&self) -> Result<Place, ConnectError> {
        self.lanes.place(&self.client).await
    }

    pub(super) fn in_namespace(&self, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..self.clone() }
    }

    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The objects that carry these labels.
    pub(super) async fn list<K>(&self, selector: &str) -> Result<Vec<K>, Fault>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let api = self.api::<K>();
        let params = ListParams::default().labels(selector);
        let list = self.call(&doing::<K>("listing", ""), || api.list(&params)).await?;
        Ok(list.items)
    }

    /// Hands on the objects that carry these labels, a page at a time: what is not kept of one page is gone before the
    /// next is read.
    pub(super) async fn visit<K>(&self, selector: &str, mut visit: impl FnMut(K)) -> Result<(), Fault>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let api = self.api::<K>();
        let mut params = ListParams::default().labels(selector).limit(PAGE);
        loop {
            let page = self.call(&doing::<K>("listing", ""), || api.list(&params)).await?;
            page.items.into_iter().for_each(&mut visit);
            let Some(next) = page.metadata.continue_.filter(|token| !token.is_empty()) else { return Ok(()) };
            params = params.continue_token(&next);
        }
    }

    /// The names of the objects that carry these labels; nothing else of them is sent.
    pub(super) async fn names<K>(&self, selector: &str) -> Result<BTreeSet<String>, Fault>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let api = self.api::<K>();
        let mut params = ListParams::default().labels(selector).limit(PAGE);
        let mut names = BTreeSet::new();
        loop {
            let page = self.call(&doing::<K>("listing", ""), || api.list_metadata(&params)).await?;
            names.extend(page.items.into_iter().filter_map(|object| object.metadata.name));
            let Some(next) = page.metadata.continue_.filter(|token| !token.is_empty()) else {
                return Ok(names);
            };
            params = params.continue_token(&next);
        }
    }

    pub(super) async fn get<K>(&self, name: &str) -> Result<Option<K>, Fault>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let api = self.api::<K>();
        self.call(&doing::<K>("reading", name), || api.get_opt(name)).await
    }

    /// Server-side apply of a whole object. With `metadata.resourceVersion` set it is refused once somebody else has
    /// written the object.
    pub(super) async fn apply<K>(&self, name: &str, object: &K) -> Result<K, Fault>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Serialize
            + Debug,
    {
        let api = self.api::<K>();
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(object);
        self.call(&doing::<K>("applying", name), || api.patch(name, &params, &patch)).await
    }

    pub(super) async fn patch_json<K>(&self, name: &str, patch: &json_patch::Patch) -> Result<K, Fault>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let api = self.api::<K>();
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..Default::default() };
        let patch = Patch::Json::<()>(patch.clone());
        self.call(&doing::<K>("patching", name), || api.patch(name, &params, &patch)).await
    }

    /// One request with its retries; only faults that may pass by themselves are tried again.
    pub(super) async fn call<T, F, A>(&self, doing: &str, mut attempt: F) -> Result<T, Fault>
    where
        F: FnMut() -> A,
        A: Future<Output = kube::Result<T>>,
    {
        let once = || {
            let request = attempt();
            async {
                match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
                    Ok(Ok(answer)) => Ok(answer),
                    Ok(Err(error)) => Err(sort(doing, error)),
                    Err(_) => Err(Fault::Unreachable {
                        doing: doing.to_owned(),
                        cause: format!("no answer within {} s", REQUEST_TIMEOUT.as_secs()),
                    }),
                }
            }
        };
        let delays = ExponentialBuilder::default()
            .with_min_delay(FIRST_DELAY)
            .with_max_delay(LONGEST_DELAY)
            .with_max_times(RETRIES)
            .with_jitter();
        once.retry(delays).when(|fault| matches!(fault, Fault::Unreachable { .. })).await
    }
}

/// `applying deployment blog-web`.
pub(super) fn doing<K: Resource<DynamicType = ()>>(verb: &str, name: &str) -> String {
    format!("{verb} {} {name}", K::kind(&()).to_lowercase()).trim_end().to_owned()
}

fn sort(doing: &str, error: kube::Error) -> Fault {
    match error {
        // etcd's own timeouts come as 500, a load balancer without a server behind it as 502 to 504. A token that is being
        // renewed (401) says nothing about the release either.
        kube::Error::Api(status) if !matches!(status.code, 401 | 429 | 500..) => {
            Fault::Refused { doing: doing.to_owned(), status }
        }
        kube::Error::Api(status) => {
            let hint = if status.code == 401 { "; check the platform's credentials" } else { "" };
            Fault::Unreachable { doing: doing.to_owned(), cause: format!("{}{hint}", status.message) }
        }
        other => Fault::Unreachable { doing: doing.to_owned(), cause: root_cause(&other) },
    }
}

/// The innermost error says what happened; the outer ones only where in our client.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
