//! The first requests to a new generation, over the very way that its visitors will take.
//!
//! A program connects, compiles and fills its caches when it is first asked, and so does the proxy: it keeps connections where
//! visitors are led, and only there. So it is asked as visitors ask, with a word that is good for this moment and leads nobody
//! else to the new generation.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use pw_model::desired::Entrance;
use pw_plan::proxy::WARMING;
use pw_plan::step::Probe;
use pw_run::Failure;
use rustls::crypto::ring;
use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::files;

/// Who asks: one alone fills no pool.
const AT_ONCE: usize = 3;
/// The least between two requests of each; as long as the last answer took, where that is longer. Visitors of the
/// generation that serves want to be answered meanwhile, and they share its processors.
const PAUSE: Duration = Duration::from_millis(10);
/// A program that is still slow by then is slow.
const LONGEST: Duration = Duration::from_secs(5);

/// What is answered does not count: that it answers well has been seen, and what is not warm works all the same.
pub(super) async fn warm_up(probe: &Probe) {
    let (Some(entrance), 1..) = (&probe.entrance, probe.warm_up) else { return };
    let Ok((asker, _led)) = led(probe, entrance) else { return };
    let asker = Arc::new(asker);
    let visitors: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let asker = Arc::clone(&asker);
            tokio::task::spawn_blocking(move || asker.ask())
        })
        .collect();
    for visitor in visitors {
        drop(visitor.await);
    }
}

/// From now on a word leads to the new generation; it is forgotten with [`Led`].
fn led(probe: &Probe, entrance: &Entrance) -> Result<(Asker, Led), Failure> {
    let word = files::random_hex()?;
    let text = format!("{word} {}", probe.address);
    let asker = Asker::new(probe, entrance, word)?;
    let led = Led { file: entrance.warming.clone().into(), left: Arc::clone(&asker.left) };
    if let Some(folder) = led.file.parent() {
        files::make_folder(folder)?;
    }
    // For its owner alone, unlike a switch: a Caddy that is not root may not read it and leads nobody.
    files::write(&led.file, text.as_bytes(), 0o600)?;
    Ok((asker, led))
}

/// However it ends, nobody asks any more and the word leads nowhere.
struct Led {
    file: PathBuf,
    left: Arc<AtomicU32>,
}

impl Drop for Led {
    fn drop(&mut self) {
        self.left.store(0, Ordering::Relaxed);
        drop(files::close_switch(&self.file));
    }
}

struct Asker {
    agent: Agent,
    addresses: Vec<String>,
    word: String,
    left: Arc<AtomicU32>,
    until: Instant,
}

impl Asker {
    fn new(probe: &Probe, entrance: &Entrance, word: String) -> Result<Self, Failure> {
        let unknown = |error: io::Error| Failure::new("the proxy has no address").because(error);
        let proxy = entrance.address.to_socket_addrs().map_err(unknown)?.next();
        let proxy = proxy.ok_or_else(|| unknown(io::ErrorKind::NotFound.into()))?;
        let scheme = if entrance.tls { "https" } else { "http" };
        let paths = probe.requests.iter().map(|one| one.get.as_str());
        let mut addresses: Vec<String> =
            paths.map(|path| format!("{scheme}://{}{path}", probe.host)).collect();
        if addresses.is_empty() {
            addresses.push(format!("{scheme}://{}/", probe.host));
        }
        let agent = Agent::with_parts(config(), DefaultConnector::default(), Always(proxy));
        let until = Instant::now() + LONGEST;
        Ok(Self { agent, addresses, word, left: Arc::new(probe.warm_up.into()), until })
    }

    /// As long as there is something left to ask, and time.
    fn ask(&self) {
        let one_less = |left: u32| left.checked_sub(1);
        while self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            for address in &self.addresses {
                let begun = Instant::now();
                let time = self.until.saturating_duration_since(begun);
                if time.is_zero() {
                    return;
                }
                let request = self.agent.get(address).header(WARMING, &self.word);
                let answer = request.config().timeout_global(Some(time)).build().call();
                drop(answer.and_then(|mut answer| answer.body_mut().read_to_vec()));
                std::thread::sleep(begun.elapsed().max(PAUSE));
            }
        }
    }
}

/// It is our own proxy at our own door, and what is asked is asked by every visitor: who signed its certificate does not matter.
fn config() -> Config {
    let tls = TlsConfig::builder()
        .disable_verification(true)
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()));
    Agent::config_builder()
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None)
        .tls_config(tls.build())
        .build()
}

/// Whatever the name is: the proxy.
#[derive(Debug)]
struct Always(SocketAddr);

impl Resolver for Always {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut all = self.empty();
        all.push(self.0);
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::path::Path;
    use std::sync::Mutex;

    use super::*;

    /// Answers badly, and notes who knew the word that the file told at that moment.
    fn serve(listener: &TcpListener, file: &Path, asked: &Mutex<Vec<bool>>) -> io::Result<()> {
        loop {
            let (mut visitor, _) = listener.accept()?;
            let mut text = [0; 4096];
            let length = visitor.read(&mut text)?;
            let text = String::from_utf8_lossy(&text[..length]).to_lowercase();
            let told = fs::read_to_string(file).unwrap_or_default();
            let word = told.strip_suffix(" shop-web-green:8000").unwrap_or("nobody's");
            let header = format!("\r\n{}: {word}\r\n", WARMING.to_lowercase());
            let right = text.starts_with("get /whoami ") && text.contains("\r\nhost: shop.localhost\r\n");
            asked.lock().expect("a list").push(right && text.contains(&header));
            visitor.write_all(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
        }
    }

    fn probe(entrance: &Entrance, warm_up: u32) -> Probe {
        let probe = serde_json::json!({
            "containers": {"project": "shop", "service": "web", "names": ["shop-web-green-1"]},
            "folder": "", "candidate": "", "address": "shop-web-green:8000", "host": "shop.localhost",
            "requests": [{"get": "/whoami"}], "successes": 1, "warm_up": warm_up, "timeout_seconds": 1,
            "entrance": entrance,
        });
        serde_json::from_value(probe).expect("a probe")
    }

    /// Promise: a new generation is asked as often as is said, where visitors ask, with a word that is good only meanwhile.
    #[tokio::test]
    async fn it_is_asked_as_often_as_is_said_and_the_word_is_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let file: PathBuf = folder.path().join(".warming/shop/web");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, path) = (Arc::clone(&asked), file.clone());
        std::thread::spawn(move || serve(&listener, &path, &seen));
        let entrance = Entrance { address, tls: false, warming: file.display().to_string() };
        warm_up(&probe(&entrance, 10)).await;
        assert_eq!(*asked.lock().expect("a list"), vec![true; 10]);
        assert!(!file.exists());
        warm_up(&probe(&entrance, 0)).await;
        assert_eq!(asked.lock().expect("a list").len(), 10, "it is not wanted");
    }
}
