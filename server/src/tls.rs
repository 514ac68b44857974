//! TLS for SQL clients: a certificate that the operator names, or one that the server makes for itself.
//!
//! A certificate of our own making keeps others from reading along; that the server is the right one it tells only to clients
//! that were given the file.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{Config, ConfigError, TlsMode};
use crate::{Error, Result};

/// The name of PostgreSQL's protocol where a TLS handshake says what it is for.
pub(crate) const ALPN: &[u8] = b"postgresql";

/// Files of the certificate that the server makes, in the data directory.
const CERT: &str = "tls.crt";
const KEY: &str = "tls.key";

/// What TLS is served with; `None` where it is off. Makes a certificate when there is none.
///
/// # Errors
/// [`Error::Config`] for files that are named and are no certificate and its key, [`Error::Io`].
pub(crate) fn server_config(config: &Config) -> Result<Option<Arc<ServerConfig>>> {
    if config.tls == TlsMode::Off {
        return Ok(None);
    }
    let (cert, key) = match (&config.tls_cert, &config.tls_key) {
        (Some(cert), Some(key)) => (cert.clone(), key.clone()),
        _ => {
            let own = (config.data.join(CERT), config.data.join(KEY));
            make(&own.0, &own.1)?;
            own
        }
    };
    read(&cert, &key).map(Some)
}

/// Reads a certificate with its chain, and its key, both as PEM.
fn read(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let wrong = |name: &str, path: &Path, why: &dyn std::fmt::Display| {
        Error::Config(ConfigError::Conflict(format!("{name} {}: {why}", path.display())))
    };
    let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    let chain = chain.map_err(|e| wrong("tls_cert", cert, &e))?;
    if chain.is_empty() {
        return Err(wrong("tls_cert", cert, &"there is no certificate in it"));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong("tls_key", key, &e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| Error::Internal(format!("TLS cannot be set up: {e}")))?;
    let config = builder.with_no_client_auth().with_single_cert(chain, secret);
    let mut config = config.map_err(|e| wrong("tls_key", key, &e))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// Makes a key and a certificate for it, unless both are there.
fn make(cert: &Path, key: &Path) -> Result<()> {
    if cert.exists() && key.exists() {
        return Ok(());
    }
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into_iter().chain(sysinfo::System::host_name());
    let made = rcgen::generate_simple_self_signed(names.collect::<Vec<_>>())
        .or_else(|_| rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]));
    let made = made.map_err(|e| Error::Internal(format!("a TLS certificate cannot be made: {e}")))?;
    write_private(key, &made.signing_key.serialize_pem()).map_err(|e| Error::io("write", key, e))?;
    write_private(cert, &made.cert.pem()).map_err(|e| Error::io("write", cert, e))?;
    tracing::info!(certificate = %cert.display(), "made a TLS certificate");
    Ok(())
}

/// Writes a file that only its owner can read, in whole or not at all.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &Path) -> Config {
        Config { data: dir.to_owned(), ..Config::default() }
    }

    #[test]
    fn a_certificate_is_made_once_and_is_its_owners() {
        let dir = tempfile::tempdir().unwrap();
        assert!(server_config(&config(dir.path())).unwrap().is_some());
        let first = fs::read(dir.path().join(CERT)).unwrap();
        #[cfg(unix)]
        for name in [CERT, KEY] {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        assert!(server_config(&config(dir.path())).unwrap().is_some());
        assert_eq!(fs::read(dir.path().join(CERT)).unwrap(), first);
        let off = Config { tls: TlsMode::Off, ..config(dir.path()) };
        assert!(server_config(&off).unwrap().is_none());
    }

    #[test]
    fn files_that_are_no_certificate_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
        fs::write(&cert, "no certificate").unwrap();
        let named = Config { tls_cert: Some(cert.clone()), tls_key: Some(key.clone()), ..config(dir.path()) };
        assert!(server_config(&named).unwrap_err().to_string().starts_with("tls_cert "));
        make(&dir.path().join(CERT), &dir.path().join(KEY)).unwrap();
        fs::copy(dir.path().join(CERT), &cert).unwrap();
        assert!(server_config(&named).unwrap_err().to_string().starts_with("tls_key "));
    }
}
