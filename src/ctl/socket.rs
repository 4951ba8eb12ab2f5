//! The client's side of a WebSocket over a stream that blocks.

use std::io::{self, Read as _, Write as _};

use ring::rand::{SecureRandom as _, SystemRandom};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::connection::Stream;
use crate::ws::{Assembler, CONTROL_BYTES, Event, FRAME_HEADER_BYTES, Limits, ReceiveBuffer};

/// Longest message that is accepted; the server sends longer ones in shorter chunks.
const MESSAGE_BYTES: usize = 256 * 1024;
const LIMITS: Limits = Limits { message_bytes: MESSAGE_BYTES, binary: false, masked: false };

/// Message or frame of the server.
#[derive(Debug)]
pub(super) enum Incoming {
    /// Message.
    Text(String),
    /// Ping, which is answered, or pong.
    Control,
    /// Close frame, which is answered, with its code and reason.
    Close(Option<u16>, String),
    /// None: the reader of standard output has gone.
    NoReader,
}

/// A WebSocket after its upgrade.
#[derive(Debug)]
pub(super) struct ClientSocket {
    stream: Stream,
    received: ReceiveBuffer,
    assembler: Assembler,
    /// A close frame was sent.
    closing: bool,
    /// Waits end when the reader of standard output has gone.
    pub(super) ends_with_output: bool,
}

impl ClientSocket {
    /// Socket of a stream from which these bytes were read after the head of the upgrade.
    pub(super) fn new(stream: Stream, bytes: &[u8]) -> io::Result<Self> {
        let mut received = ReceiveBuffer::new(MESSAGE_BYTES + FRAME_HEADER_BYTES + CONTROL_BYTES);
        let space = received.space().get_mut(..bytes.len());
        space.ok_or(io::ErrorKind::FileTooLarge)?.copy_from_slice(bytes);
        received.commit(bytes.len());
        let assembler = Assembler::new(LIMITS);
        Ok(Self { stream, received, assembler, closing: false, ends_with_output: false })
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(super) fn stream_mut(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// Sends a message.
    pub(super) fn send(&mut self, text: &str) -> io::Result<()> {
        self.send_frame(OpCode::Data(Data::Text), text.as_bytes())
    }

    /// Sends a close frame, unless one was sent: that is an error.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.answer_close(&[])
    }

    fn answer_close(&mut self, payload: &[u8]) -> io::Result<()> {
        if self.closing {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.closing = true;
        self.send_frame(OpCode::Control(Control::Close), payload)
    }

    /// Sends a frame whose payload is masked by fresh random bytes (RFC 6455, 5.3).
    fn send_frame(&mut self, opcode: OpCode, payload: &[u8]) -> io::Result<()> {
        let mut mask = [0; 4];
        SystemRandom::new()
            .fill(&mut mask)
            .map_err(|_| io::Error::other("the system has no random bytes"))?;
        let header = FrameHeader { opcode, mask: Some(mask), ..FrameHeader::default() };
        let length = payload.len() as u64;
        let mut frame = vec![0; header.len(length)];
        header.format(length, &mut frame.as_mut_slice()).map_err(|_| io::ErrorKind::InvalidData)?;
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        self.stream.write_all(&frame)?;
        self.stream.flush()
    }

    /// Waits for the next one.
    pub(super) fn read(&mut self) -> io::Result<Incoming> {
        loop {
            let event = match self.assembler.poll(&mut self.received) {
                Ok(event) => event,
                Err(violation) => {
                    // The reason below matters more than whether the server still gets it.
                    let _ = self.answer_close(&u16::from(violation.close_code()).to_be_bytes());
                    return Err(io::Error::other(violation.reason()));
                }
            };
            let bytes = |range| self.received.filled().get(range).unwrap_or_default();
            match event {
                Event::More if self.ends_with_output && self.stream.wait()? => return Ok(Incoming::NoReader),
                Event::More => {
                    let read = self.stream.read(self.received.space())?;
                    if read == 0 {
                        let why = "the server ended it without a close frame";
                        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
                    }
                    self.received.commit(read);
                }
                Event::Message { range, .. } => {
                    return Ok(Incoming::Text(String::from_utf8_lossy(bytes(range)).into_owned()));
                }
                Event::Ping(range) => {
                    let payload = bytes(range).to_vec();
                    self.send_frame(OpCode::Control(Control::Pong), &payload)?;
                    return Ok(Incoming::Control);
                }
                Event::Pong => return Ok(Incoming::Control),
                Event::Close(code, range) => {
                    let reason = String::from_utf8_lossy(bytes(range)).into_owned();
                    // The connection ends with or without the answer.
                    let _ = self.answer_close(code.map(u16::to_be_bytes).as_ref().map_or(&[], |code| code));
                    return Ok(Incoming::Close(code, reason));
                }
            }
        }
    }
}
