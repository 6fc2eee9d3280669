//! Connections that logs and the watches of rollouts share.
//!
//! A log that is followed is a request that does not end, and so is a watch. Over HTTP/1.1 each would keep a connection
//! of its own, with its TLS and its buffers; the logs of a thousand pods would take more memory than all the rest of the
//! server. So they go over a few connections of HTTP/2, apart from all other requests, which a full connection would
//! hold up.
//!
//! Where HTTP/2 is not spoken, by what stands before the API server perhaps, each has a connection as before.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::{Request, Version};
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use kube::{Client, Config};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tower::{BoxError, ServiceBuilder};

use super::cluster::{ConnectError, REQUEST_TIMEOUT};

/// Logs and watches on one connection: an API server allows 100 requests on each.
const PLACES: usize = 64;
/// Bytes that may be on their way, of one log and of one connection: a log that is written to the disk slowly holds up
/// its neighbours no sooner than this is full.
const LOG_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;
/// A connection on which nothing comes is asked for a sign of life this often, and given up after this long.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_PATIENCE: Duration = Duration::from_secs(15);

/// The connections of one cluster. Cheap to clone.
#[derive(Clone)]
pub(super) struct Lanes {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    /// Asked for with the first of them: the cluster may be down when the server starts.
    spoken: OnceCell<Version>,
    lanes: Mutex<Vec<Lane>>,
}

struct Lane {
    client: Client,
    places: Arc<Semaphore>,
}

/// A place on a connection, for as long as it is held.
pub(super) struct Place {
    pub(super) client: Client,
    _place: Option<OwnedSemaphorePermit>,
}

impl Lanes {
    pub(super) fn new(config: Config) -> Self {
        Self { inner: Arc::new(Inner { config, spoken: OnceCell::new(), lanes: Mutex::default() }) }
    }

    /// A place for one log or watch; `otherwise` is who asks where connections cannot be shared. An error says that the API server
    /// does not answer.
    pub(super) async fn place(&self, otherwise: &Client) -> Result<Place, ConnectError> {
        match *self.inner.spoken.get_or_try_init(|| self.ask()).await? {
            Version::HTTP_2 => self.free_place(),
            _ => Ok(Place { client: otherwise.clone(), _place: None }),
        }
    }

    /// Which HTTP is spoken, by a request that everybody may make.
    async fn ask(&self) -> Result<Version, ConnectError> {
        let client = client(&self.inner.config, Offer::Both)?;
        let request = Request::get("/version").body(Body::empty()).expect("invariant: a good address");
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, client.send(request)).await;
        Ok(answer.map_err(|_| ConnectError::Silent)??.version())
    }

    /// How many connections there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.inner.lanes.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn free_place(&self) -> Result<Place, ConnectError> {
        let mut lanes = self.inner.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        for lane in lanes.iter() {
            if let Ok(place) = Arc::clone(&lane.places).try_acquire_owned() {
                return Ok(Place { client: lane.client.clone(), _place: Some(place) });
            }
        }
        let lane = Lane {
            client: client(&self.inner.config, Offer::Http2)?,
            places: Arc::new(Semaphore::new(PLACES)),
        };
        let place = Arc::clone(&lane.places).try_acquire_owned().ok();
        let place = Place { client: lane.client.clone(), _place: place };
        lanes.push(lane);
        Ok(place)
    }
}

/// What the API server may choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offer {
    Both,
    /// All requests of such a client wait for its one connection, where others would each begin one.
    Http2,
}

fn client(config: &Config, offer: Offer) -> Result<Client, ConnectError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(REQUEST_TIMEOUT));
    let tls = HttpsConnectorBuilder::new().with_tls_config(config.rustls_client_config()?).https_or_http();
    let tls = match config.tls_server_name.clone().map(TryInto::try_into) {
        Some(name) => tls
            .with_server_name_resolver(FixedServerNameResolver::new(name.map_err(ConnectError::ServerName)?)),
        None => tls,
    };
    let connector = match offer {
        Offer::Both => tls.enable_all_versions().wrap_connector(tcp),
        Offer::Http2 => tls.enable_http2().wrap_connector(tcp),
    };
    let http: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .http2_only(offer == Offer::Http2)
        .http2_initial_stream_window_size(LOG_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PING_PATIENCE)
        .build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace.clone()))
}
