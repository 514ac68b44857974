//! Who may come in: nobody is who he says until he has proved it, once there is a password to prove it with.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pgwire::messages::startup::Authentication;
use plimsoll_query::{Database, Login, Verifier};

use super::scram::{Exchange, MECHANISM};
use super::sqlstate::{SqlError, code};
use super::wire::{Reader, WireError, Writer};
use super::{Input, Output};
use crate::throttle::Throttle;

/// The door that a client stands before.
pub(super) struct Door<'a> {
    pub(super) database: &'a Database,
    pub(super) throttle: &'a Throttle,
    pub(super) from: IpAddr,
}

impl Door<'_> {
    /// Lets a user in; false when the client leaves meanwhile.
    ///
    /// # Errors
    /// 28P01 for a wrong password, 28000 for somebody who is not let in whatever he says.
    pub(super) async fn enter(
        &self,
        user: &str,
        now_ns: impl Fn() -> i64,
        reader: &mut Reader<Input>,
        writer: &mut Writer<Output>,
    ) -> Result<bool, WireError> {
        let refused = |message: String| {
            tracing::warn!(user, from = %self.from, message, "a log-in was refused");
            WireError::Protocol(SqlError::fatal(code::INVALID_AUTHORIZATION, message))
        };
        let verifier = match self.database.login(user) {
            Login::Trusted if self.from.to_canonical().is_loopback() => return Ok(true),
            Login::Trusted => {
                return Err(refused("no user has a password, so only the machine of the server is trusted".to_owned()));
            }
            Login::Refused(message) => return Err(refused(message)),
            Login::Password(verifier) => verifier,
        };
        let too_early =
            |seconds: u64| refused(format!("too many failed log-ins from this address; try again in {seconds} s"));
        self.throttle.check(self.from, now_ns()).map_err(too_early)?;
        let proved = match prove(&verifier, reader, writer).await {
            Ok(Some(proved)) => proved,
            Ok(None) => return Ok(false),
            Err(error) => {
                if matches!(error, WireError::Protocol(_)) {
                    self.throttle.failed(self.from, now_ns());
                }
                return Err(error);
            }
        };
        // Others from there may have failed meanwhile: who tries at many doors at once has no more tries for it.
        self.throttle.check(self.from, now_ns()).map_err(too_early)?;
        if let Some(server_final) = proved {
            writer.put(&Authentication::SASLFinal(server_final.into()));
            self.throttle.succeeded(self.from);
            return Ok(true);
        }
        self.throttle.failed(self.from, now_ns());
        tracing::warn!(user, from = %self.from, "a log-in failed: wrong user or password");
        let message = format!("password authentication failed for user \"{user}\"");
        Err(WireError::Protocol(SqlError::fatal(code::INVALID_PASSWORD, message)))
    }
}

/// Has a client prove that it knows a password, and gives the answer to a right proof; `None` when it leaves instead, as those do
/// that have to ask for the password first.
async fn prove(
    verifier: &Verifier,
    reader: &mut Reader<Input>,
    writer: &mut Writer<Output>,
) -> Result<Option<Option<String>>, WireError> {
    writer.put(&Authentication::SASL(vec![MECHANISM.to_owned()]));
    writer.flush().await?;
    let Some(first) = reader.password().await? else { return Ok(None) };
    let nonce = STANDARD.encode(rand::random::<[u8; 18]>());
    let exchange = Exchange::begin(verifier, &first, &nonce).map_err(WireError::Protocol)?;
    writer.put(&Authentication::SASLContinue(exchange.server_first().to_owned().into()));
    writer.flush().await?;
    let Some(last) = reader.password().await? else { return Ok(None) };
    exchange.finish(&last).map(Some).map_err(WireError::Protocol)
}
