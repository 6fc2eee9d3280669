//! A TCP proxy that a story cuts: how PostgreSQL, a registry or an apiserver is lost half-way.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Listens on the loopback and hands every connection on.
#[derive(Debug, Clone)]
pub struct Proxy {
    pub port: u16,
    cut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let proxy = Self { port, cut: Arc::default(), open: Arc::default() };
        let accepting = proxy.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                accepting.connect(client, target);
            }
        });
        proxy
    }

    /// Breaks every connection, and lets nobody in until [`Self::mend`].
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        open.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }

    pub fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }

    fn connect(&self, client: TcpStream, target: SocketAddr) {
        if self.cut.load(Ordering::SeqCst) {
            return;
        }
        let Ok(server) = TcpStream::connect(target) else { return };
        let both = [(&client, &server), (&server, &client)].map(|(from, to)| {
            (from.try_clone().expect("a second handle"), to.try_clone().expect("a second handle"))
        });
        self.open.lock().unwrap_or_else(PoisonError::into_inner).extend([client, server]);
        for (mut from, mut to) in both {
            std::thread::spawn(move || {
                drop(io::copy(&mut from, &mut to));
                drop(to.shutdown(Shutdown::Write));
            });
        }
    }
}
