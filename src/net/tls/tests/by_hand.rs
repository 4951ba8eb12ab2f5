//! A client of TLS 1.3 made by hand, with a key schedule of its own (RFC 8446, 7.1): it sends what rustls's
//! client cannot be made to send. It has TLS_AES_128_GCM_SHA256 and X25519, and takes any certificate.

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::digest::{SHA256, digest};
use ring::hmac::{self, HMAC_SHA256};
use ring::rand::SystemRandom;

/// Types of content.
pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const DATA: u8 = 23;

/// Extensions (4.2).
pub(crate) const ALPN: u16 = 16;
const SUPPORTED_GROUPS: u16 = 10;
const SIGNATURE_ALGORITHMS: u16 = 13;
const PRE_SHARED_KEY: u16 = 41;
const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;
const PSK_MODES: u16 = 45;
const KEY_SHARE: u16 = 51;

const X25519_GROUP: [u8; 2] = [0, 29];
/// A group that no server has, so that it asks for a key of another.
const NO_GROUP: [u8; 2] = [0x99, 0x99];
/// Random number of a ServerHello that asks for another hello (4.1.3).
const RETRY: [u8; 4] = [0xcf, 0x21, 0xad, 0x74];
/// Content of the longest record beside its type (5.4).
pub(crate) const CONTENT_BYTES: usize = 1 << 14;

/// A list with its length of two bytes in front.
pub(crate) fn list(body: &[u8]) -> Vec<u8> {
    [&u16::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

pub(crate) fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &list(body)].concat()
}

/// A record in the clear.
pub(crate) fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3], &list(content)[..]].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind], &length[1..], body].concat()
}

/// Parts of a client's hello beside the necessary ones.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hello<'a> {
    /// It shows a key of a group alone that the server does not have.
    pub(crate) lacks_key: bool,
    /// It announces early data, for a session of another server.
    pub(crate) early_data: bool,
    /// It resumes such a session.
    pub(crate) resumes: bool,
    /// Further extensions.
    pub(crate) extensions: &'a [u8],
}

pub(crate) struct ByHand {
    key: Option<EphemeralPrivateKey>,
    public: Vec<u8>,
    /// Handshake messages of both sides.
    transcript: Vec<u8>,
    /// Bytes of the server that are not a whole record.
    input: Vec<u8>,
    secrets: Option<Secrets>,
    /// The server's flight is complete.
    pub(crate) is_ready: bool,
    /// The server has asked for another hello.
    pub(crate) is_retried: bool,
}

struct Secrets {
    handshake: [u8; 32],
    client: [u8; 32],
    server: [u8; 32],
    sending: Key,
    receiving: Key,
}

struct Key {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Key {
    fn new(secret: &[u8]) -> Self {
        let key = UnboundKey::new(&AES_128_GCM, &expand(secret, "key", &[])[..16]).unwrap();
        let iv = expand(secret, "iv", &[])[..12].try_into().unwrap();
        Self { key: LessSafeKey::new(key), iv, sequence: 0 }
    }

    fn nonce(&mut self) -> Nonce {
        let number = u128::from(self.sequence).to_be_bytes();
        self.sequence += 1;
        Nonce::assume_unique_for_key(std::array::from_fn(|at| self.iv[at] ^ number[4 + at]))
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap()
}

/// HKDF-Extract (RFC 5869).
fn extract(salt: &[u8], secret: &[u8]) -> [u8; 32] {
    hmac::sign(&hmac::Key::new(HMAC_SHA256, salt), secret).as_ref().try_into().unwrap()
}

/// HKDF-Expand-Label (7.1) of one block, of which keys and numbers are the front. The label has its length in it.
fn expand(secret: &[u8], label: &str, context: &[u8]) -> [u8; 32] {
    let length: u16 = match label {
        "key" => 16,
        "iv" => 12,
        _ => 32,
    };
    let label = format!("tls13 {label}");
    let one = |bytes: &[u8]| [&[u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let info = [&length.to_be_bytes()[..], &one(label.as_bytes()), &one(context), &[1]].concat();
    extract(secret, &info)
}

impl ByHand {
    pub(crate) fn new() -> Self {
        let key = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).unwrap();
        let public = key.compute_public_key().unwrap().as_ref().to_vec();
        let (transcript, input) = (Vec::new(), Vec::new());
        Self { key: Some(key), public, transcript, input, secrets: None, is_ready: false, is_retried: false }
    }

    /// Returns the message of a hello, without a record.
    pub(crate) fn hello(&mut self, hello: Hello<'_>) -> Vec<u8> {
        let group = if hello.lacks_key { NO_GROUP } else { X25519_GROUP };
        let share = [&group[..], &list(&self.public)].concat();
        let mut extensions = [
            extension(SUPPORTED_VERSIONS, &[2, 3, 4]),
            extension(SUPPORTED_GROUPS, &list(&[NO_GROUP, X25519_GROUP].concat())),
            extension(SIGNATURE_ALGORITHMS, &list(&[4, 3, 5, 3, 8, 4, 8, 5, 8, 6, 8, 7])),
            extension(KEY_SHARE, &list(&share)),
            hello.extensions.to_vec(),
        ]
        .concat();
        if hello.early_data {
            extensions.extend(extension(EARLY_DATA, &[]));
        }
        if hello.resumes {
            extensions.extend(extension(PSK_MODES, &[1, 1]));
            let identity = [&list(&[7; 320])[..], &[1, 2, 3, 4]].concat();
            let binder = [&[32][..], &[9; 32]].concat();
            extensions.extend(extension(PRE_SHARED_KEY, &[list(&identity), list(&binder)].concat()));
        }
        let (random, session) = ([5; 32], [6; 32]);
        let body =
            [&[3, 3], &random[..], &[32], &session, &[0, 2, 0x13, 1, 1, 0], &list(&extensions)].concat();
        let hello = message(1, &body);
        self.transcript.extend_from_slice(&hello);
        hello
    }

    /// Reads bytes of the server. Returns the type and the content of each record beside the handshake.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        self.input.extend_from_slice(bytes);
        let mut others = Vec::new();
        while let Some(header) = self.input.first_chunk::<5>() {
            let (kind, end) = (header[0], 5 + usize::from(u16::from_be_bytes([header[3], header[4]])));
            if self.input.len() < end {
                break;
            }
            let record: Vec<u8> = self.input.drain(..end).collect();
            let (kind, content) =
                if kind == DATA { self.open(&record) } else { (kind, record[5..].to_vec()) };
            match kind {
                HANDSHAKE => self.handle_messages(&content),
                CHANGE_CIPHER_SPEC => {}
                _ => others.push((kind, content)),
            }
        }
        others
    }

    /// Opens a record: its type and its content.
    fn open(&mut self, record: &[u8]) -> (u8, Vec<u8>) {
        let receiving = &mut self.secrets.as_mut().expect("the server has said hello").receiving;
        let (header, sealed) = record.split_at(5);
        let mut inner = sealed.to_vec();
        let nonce = receiving.nonce();
        let inner = receiving.key.open_in_place(nonce, Aad::from(header), &mut inner).unwrap();
        let last = inner.iter().rposition(|byte| *byte != 0).unwrap();
        (inner[last], inner[..last].to_vec())
    }

    /// Messages of the server come whole, and none is in two records.
    fn handle_messages(&mut self, mut messages: &[u8]) {
        while let Some(header) = messages.first_chunk::<4>() {
            let length = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
            let (message, rest) = messages.split_at(4 + length);
            messages = rest;
            match header[0] {
                2 if message[6..].starts_with(&RETRY) => {
                    self.is_retried = true;
                    self.transcript = [&[254, 0, 0, 32][..], &hash(&self.transcript), message].concat();
                }
                2 => {
                    self.transcript.extend_from_slice(message);
                    self.handle_server_hello(message);
                }
                20 => {
                    self.transcript.extend_from_slice(message);
                    self.handle_server_finished();
                }
                _ => self.transcript.extend_from_slice(message),
            }
        }
    }

    fn handle_server_hello(&mut self, hello: &[u8]) {
        // Extensions are behind version, random, session and suite: of a key share, the last 32 bytes are the key.
        let at = hello.windows(6).position(|six| six == [0, 51, 0, 36, 0, 29]).expect("a share of X25519");
        let theirs = UnparsedPublicKey::new(&X25519, &hello[at + 8..at + 40]);
        let ours = self.key.take().expect("one hello of the server");
        let shared = agree_ephemeral(ours, &theirs, <[u8]>::to_vec).unwrap();
        let early = extract(&[0; 32], &[0; 32]);
        let handshake = extract(&expand(&early, "derived", &hash(&[])), &shared);
        let so_far = hash(&self.transcript);
        let client = expand(&handshake, "c hs traffic", &so_far);
        let server = expand(&handshake, "s hs traffic", &so_far);
        let (sending, receiving) = (Key::new(&client), Key::new(&server));
        self.secrets = Some(Secrets { handshake, client, server, sending, receiving });
    }

    fn handle_server_finished(&mut self) {
        self.is_ready = true;
        let secret = self.traffic("s ap traffic");
        let secrets = self.secrets.as_mut().expect("the server has said hello");
        secrets.server = secret;
        secrets.receiving = Key::new(&secret);
    }

    /// A secret of the data, of the transcript so far.
    fn traffic(&self, label: &str) -> [u8; 32] {
        let secrets = self.secrets.as_ref().expect("the server has said hello");
        let master = extract(&expand(&secrets.handshake, "derived", &hash(&[])), &[0; 32]);
        expand(&master, label, &hash(&self.transcript))
    }

    /// Returns the client's last message, without a record.
    pub(crate) fn finished(&self) -> Vec<u8> {
        let secrets = self.secrets.as_ref().expect("the server has said hello");
        let key = expand(&secrets.client, "finished", &[]);
        message(20, &extract(&key, &hash(&self.transcript)))
    }

    /// Seals with the key of the data from now on.
    pub(crate) fn finish(&mut self) {
        let secret = self.traffic("c ap traffic");
        self.secrets.as_mut().expect("the server has said hello").sending = Key::new(&secret);
    }

    /// Seals content of a type with `padding` zeros.
    pub(crate) fn seal(&mut self, kind: u8, content: &[u8], padding: usize) -> Vec<u8> {
        let sending = &mut self.secrets.as_mut().expect("the server has said hello").sending;
        let mut sealed = [content, &[kind], &vec![0; padding]].concat();
        let length = u16::try_from(sealed.len() + 16).unwrap().to_be_bytes();
        let header = [DATA, 3, 3, length[0], length[1]];
        let nonce = sending.nonce();
        sending.key.seal_in_place_append_tag(nonce, Aad::from(header), &mut sealed).unwrap();
        [&header[..], &sealed].concat()
    }
}
