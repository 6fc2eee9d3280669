//! A TCP proxy that a story cuts: how PostgreSQL, a registry, the engine or an apiserver is lost half-way.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What stands behind a proxy.
#[derive(Debug, Clone)]
pub enum Behind {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Listens on the loopback and hands every connection on.
#[derive(Debug, Clone)]
pub struct Proxy {
    pub port: u16,
    cut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<Socket>>>,
}

impl Proxy {
    pub fn to(behind: Behind) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let proxy = Self { port, cut: Arc::default(), open: Arc::default() };
        let accepting = proxy.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                accepting.connect(Socket::Tcp(client), &behind);
            }
        });
        proxy
    }

    /// Breaks every connection, and lets nobody in until [`Self::mend`].
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        self.open().drain(..).for_each(|socket| socket.shutdown(Shutdown::Both));
    }

    pub fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Vec<Socket>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self, client: Socket, behind: &Behind) {
        let server = match behind {
            Behind::Tcp(address) => TcpStream::connect(address).map(Socket::Tcp),
            Behind::Unix(path) => UnixStream::connect(path).map(Socket::Unix),
        };
        let Ok(server) = server else { return };
        let mut open = self.open();
        // Looked at under the lock: a cut finds every connection that it let through.
        if self.cut.load(Ordering::SeqCst) {
            return;
        }
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (mut from, mut to) = (from.twin(), to.twin());
            std::thread::spawn(move || {
                drop(io::copy(&mut from, &mut to));
                to.shutdown(Shutdown::Write);
            });
        }
        open.extend([client, server]);
    }
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn twin(&self) -> Self {
        match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone().expect("a second handle")),
            Self::Unix(stream) => Self::Unix(stream.try_clone().expect("a second handle")),
        }
    }

    fn shutdown(&self, how: Shutdown) {
        // It may be closed already, which is as good.
        drop(match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
        });
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
