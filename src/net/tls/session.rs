//! Sans-IO TLS session with one peer: records in, plaintext out, and the reverse.

use core::mem;
use std::sync::Arc;

use rustls::{AlertDescription, ServerConfig};

use super::buffers::Buffers;
use super::failure::TlsFailure;
use super::handshake::Handshake;
use super::record_layer::RecordLayer;
use crate::connection::Stage;

/// Server side of TLS 1.3 with one peer.
pub struct Session {
    state: State,
    buffers: Buffers,
}

enum State {
    Handshake(Box<Handshake>),
    Established(Box<RecordLayer>),
    /// Failed: the output holds the last bytes for the peer.
    Over,
}

impl Session {
    /// Begins a handshake in `buffers`. With `asks`, the client is asked for a certificate, whatever the configuration.
    pub fn accept(config: &Arc<ServerConfig>, asks: bool, buffers: Buffers) -> Result<Self, TlsFailure> {
        let state = State::Handshake(Box::new(Handshake::new(config, asks)?));
        Ok(Self { state, buffers })
    }

    /// SHA-256 of the public key of the certificate with which the client has signed the handshake.
    pub fn client_key(&self) -> Option<&[u8; 32]> {
        let State::Established(records) = &self.state else { return None };
        records.client_key.as_ref()
    }

    /// Returns the buffers, empty.
    pub fn into_buffers(mut self) -> Buffers {
        self.buffers.clear();
        self.buffers
    }

    /// Room for bytes of the socket. It is not empty unless there is plaintext to consume.
    pub fn space(&mut self) -> &mut [u8] {
        self.buffers.incoming.space()
    }

    /// Processes the first `count` bytes of [`Self::space`]. After an error nothing more is processed; pending
    /// bytes still go to the peer.
    pub fn handle_received(&mut self, count: usize) -> Result<(), TlsFailure> {
        if matches!(self.state, State::Over) {
            return Ok(());
        }
        self.buffers.incoming.add(count);
        let result = self.advance();
        self.ended(result)
    }

    /// Authenticated plaintext of the peer that is not consumed.
    pub fn plaintext(&self) -> &[u8] {
        self.buffers.incoming.opened()
    }

    /// Drops the first `count` bytes of [`Self::plaintext`]. After the last one, the next received record is
    /// opened.
    pub fn consume(&mut self, count: usize) -> Result<(), TlsFailure> {
        self.buffers.incoming.consume(count);
        let result = self.advance();
        self.ended(result)
    }

    /// Seals as much of `data` as there is room for. Returns the number of bytes: none before the end of the
    /// handshake, after the end of the session, and while too much is pending.
    pub fn seal(&mut self, data: &[u8]) -> Result<usize, TlsFailure> {
        let State::Established(records) = &mut self.state else { return Ok(0) };
        let mut rest = data;
        while !rest.is_empty() {
            match records.seal(rest, &mut self.buffers.outgoing) {
                Ok(0) => break,
                Ok(count) => (_, rest) = rest.split_at(count.min(rest.len())),
                Err(failure) => return self.ended(Err(failure)).map(|()| 0),
            }
        }
        Ok(data.len() - rest.len())
    }

    /// Bytes for the socket.
    pub fn pending(&self) -> &[u8] {
        self.buffers.outgoing.pending()
    }

    /// Drops the first `count` bytes of [`Self::pending`], which were written.
    pub fn sent(&mut self, count: usize) -> Result<(), TlsFailure> {
        self.buffers.outgoing.sent(count);
        let State::Established(records) = &mut self.state else { return Ok(()) };
        let updated = records.update_key(&mut self.buffers.outgoing);
        self.ended(updated)
    }

    /// Returns true until the handshake is done.
    pub fn is_handshaking(&self) -> bool {
        matches!(self.state, State::Handshake(_))
    }

    /// Progress of the peer.
    pub fn stage(&self) -> Stage {
        match &self.state {
            State::Handshake(handshake) if !handshake.is_answered() => Stage::Begun,
            State::Handshake(_) => Stage::Greeted,
            State::Established(_) | State::Over => Stage::Secured,
        }
    }

    /// Sends close_notify. Nothing is sealed after it.
    pub fn close(&mut self) {
        if let State::Established(records) = &mut self.state {
            records.close(AlertDescription::CloseNotify, &mut self.buffers.outgoing);
        }
    }

    /// Returns true if the peer sends nothing more: it sent close_notify, or TLS has failed.
    pub fn is_closed_by_peer(&self) -> bool {
        match &self.state {
            State::Handshake(_) => false,
            State::Established(records) => records.is_closed_by_peer(),
            State::Over => true,
        }
    }

    /// Releases the memory of empty buffers.
    pub fn release_idle(&mut self) {
        self.buffers.release_idle();
    }

    /// Limits the sending key to this many records.
    #[cfg(test)]
    pub(super) fn limit_sending(&mut self, records: u64) {
        let State::Established(layer) = &mut self.state else { panic!("no keys yet") };
        layer.limit_sending(records);
    }

    /// Processes the input.
    fn advance(&mut self) -> Result<(), TlsFailure> {
        if let State::Handshake(handshake) = &mut self.state
            && handshake.advance(&mut self.buffers)?
            && let State::Handshake(handshake) = mem::replace(&mut self.state, State::Over)
        {
            self.state = State::Established(Box::new(handshake.finish()?));
        }
        if let State::Established(records) = &mut self.state {
            records.receive(&mut self.buffers.incoming, &mut self.buffers.outgoing)?;
        }
        Ok(())
    }

    /// Ends a failed session, with its alert as the last record.
    fn ended(&mut self, result: Result<(), TlsFailure>) -> Result<(), TlsFailure> {
        if let Err(failure) = &result {
            if let State::Established(records) = &mut self.state
                && let Some(alert) = failure.alert()
            {
                records.close(alert, &mut self.buffers.outgoing);
            }
            self.state = State::Over;
            self.buffers.incoming.clear();
        }
        result
    }
}
