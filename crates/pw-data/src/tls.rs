//! Encrypted connections, by the words that libpq has for them.

use std::sync::Arc;

use pw_run::Failure;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

/// What a DSN says of encryption.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// `sslmode`, as written.
    pub(crate) mode: Option<String>,
    /// `sslrootcert`: a file of certificates, or `system`.
    pub(crate) roots: Option<String>,
}

const KEYS: [&str; 2] = ["sslmode", "sslrootcert"];

impl Tls {
    /// Takes its words out of a URL or `key=value` DSN, and answers the rest.
    pub(crate) fn split(dsn: &str) -> (Self, String) {
        let mut tls = Self::default();
        let rest = if dsn.starts_with("postgres://") || dsn.starts_with("postgresql://") {
            let Some((before, query)) = dsn.split_once('?') else { return (tls, dsn.to_owned()) };
            let kept: Vec<&str> = query.split('&').filter(|pair| !tls.takes(pair, &decoded)).collect();
            if kept.is_empty() { before.to_owned() } else { format!("{before}?{}", kept.join("&")) }
        } else {
            // Blanks stay as they are: a password may hold some.
            let plain = |text: &str| text.trim_matches('\'').to_owned();
            dsn.split(' ').filter(|pair| !tls.takes(pair, &plain)).collect::<Vec<_>>().join(" ")
        };
        (tls, rest)
    }

    fn takes(&mut self, pair: &str, read: &impl Fn(&str) -> String) -> bool {
        let Some((key, value)) = pair.split_once('=').filter(|(key, _)| KEYS.contains(key)) else {
            return false;
        };
        *(if key == KEYS[0] { &mut self.mode } else { &mut self.roots }) = Some(read(value));
        true
    }

    /// For the driver, which knows less: whether to encrypt at all.
    ///
    /// # Errors
    /// There is no such mode.
    pub(crate) fn driver_mode(&self) -> Result<tokio_postgres::config::SslMode, Failure> {
        use tokio_postgres::config::SslMode;
        match self.mode.as_deref() {
            Some("disable") => Ok(SslMode::Disable),
            None | Some("allow" | "prefer") => Ok(SslMode::Prefer),
            Some("require" | "verify-ca" | "verify-full") => Ok(SslMode::Require),
            Some(_) => Err(Failure::new("the DSN asks for an `sslmode` that there is not")
                .hint("write disable, prefer, require, verify-ca or verify-full")),
        }
    }

    /// What makes connections: without roots, `require` encrypts and believes any certificate, as libpq does.
    ///
    /// # Errors
    /// The certificates cannot be read.
    pub(crate) fn connector(&self) -> Result<MakeRustlsConnect, Failure> {
        let provider = Arc::new(ring::default_provider());
        let failed = |error: Error| Failure::new("could not prepare an encrypted connection").because(error);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(failed)?;
        let verifier = self.verifier(provider)?;
        let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        Ok(MakeRustlsConnect::new(config))
    }

    fn verifier(&self, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Failure> {
        let full = self.mode.as_deref() == Some("verify-full");
        let verifies = full
            || self.mode.as_deref() == Some("verify-ca")
            || (self.mode.as_deref() == Some("require") && self.roots.is_some());
        let algorithms = provider.signature_verification_algorithms;
        if !verifies {
            return Ok(Arc::new(Lenient { chain: None, algorithms }));
        }
        let roots = Arc::new(self.root_store()?);
        let chain = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        let chain =
            chain.map_err(|error| Failure::new("could not use the root certificates").because(error))?;
        Ok(if full { chain } else { Arc::new(Lenient { chain: Some(chain), algorithms }) })
    }

    fn root_store(&self) -> Result<RootCertStore, Failure> {
        let mut store = RootCertStore::empty();
        let path = match self.roots.as_deref() {
            None | Some("system") => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                return Ok(store);
            }
            Some(path) => path,
        };
        let failed = || Failure::new(format!("could not read root certificates from `{path}`"));
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(path).map_err(|error| failed().because(error))?.collect();
        let (added, _) =
            store.add_parsable_certificates(certificates.map_err(|error| failed().because(error))?);
        if added == 0 {
            return Err(failed().because("it holds none").hint("name a file in PEM form with `sslrootcert`"));
        }
        Ok(store)
    }
}

/// `%2F` as `/`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let escaped = pair.filter(|_| *first == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Believes what a chain vouches for whatever name it has, or without a chain anything.
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        status: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end, between, name, status, now) {
            // The name is looked at last, when the chain is known to be good.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            answer => answer,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_encryption_are_taken_out_of_a_dsn() {
        for (dsn, mode, roots, rest) in [
            ("postgres://u:p@h/d", None, None, "postgres://u:p@h/d"),
            ("postgres://u:p%3F@h/d?sslmode=require", Some("require"), None, "postgres://u:p%3F@h/d"),
            (
                "postgresql://h/d?sslrootcert=%2Fa%20b&connect_timeout=3&sslmode=verify-full",
                Some("verify-full"),
                Some("/a b"),
                "postgresql://h/d?connect_timeout=3",
            ),
            (
                "host=h password='a  b' sslmode=verify-ca sslrootcert=system dbname=d",
                Some("verify-ca"),
                Some("system"),
                "host=h password='a  b' dbname=d",
            ),
        ] {
            let told =
                (Tls { mode: mode.map(str::to_owned), roots: roots.map(str::to_owned) }, rest.to_owned());
            assert_eq!(Tls::split(dsn), told);
        }
    }
}
