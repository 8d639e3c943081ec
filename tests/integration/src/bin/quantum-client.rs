//! A TLS client that offers a post-quantum key share, as browsers do: `quantum-client HOST:PORT NAME` says the groups
//! that it offers, has a handshake, says hello, and does not care who answers.

use std::env;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, Stream};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().collect();
    let [_, to, name] = &arguments[..] else { anyhow::bail!("HOST:PORT NAME") };
    let provider = Arc::new(aws_lc_rs::default_provider());
    println!("{:?}", provider.kx_groups.iter().map(|group| group.name()).collect::<Vec<_>>());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let mut connection = ClientConnection::new(Arc::new(config), ServerName::try_from(name.clone())?)?;
    let mut socket = TcpStream::connect(to).with_context(|| to.clone())?;
    let mut stream = Stream::new(&mut connection, &mut socket);
    stream.write_all(b"hello")?;
    stream.conn.send_close_notify();
    stream.flush()?;
    // However it ends.
    let _ = stream.read(&mut [0; 1024]);
    Ok(())
}

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _stapled: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
