//! Paired keys: public keys of client certificates, each accepted as the proof of a user while a window was open.

use core::fmt;
use core::time::Duration;

use heapless::String;

use super::{HASH_BYTES, KEY_ID_BYTES, PAIRED_KEYS, PAIRING_TIME, UserId, is_user_name, public_id};
use crate::limits::{DEVICE_ID_BYTES, USER_NAME_BYTES};
use crate::log::is_harmful;

/// SHA-256 of the public key of a certificate, its SubjectPublicKeyInfo (RFC 5280, 4.1.2.7).
pub type KeyHash = [u8; HASH_BYTES];

/// Key that proves a user. Displayed and parsed as a line of the state file: `key user device`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PairedKey {
    /// The key.
    pub key: KeyHash,
    /// Name of the user.
    pub user: String<USER_NAME_BYTES>,
    /// Device as its client named it; may be empty.
    pub device: String<DEVICE_ID_BYTES>,
}

/// Device as its client names it; `None` if that is too long, or has a [harmful](is_harmful) character.
pub fn device_id(text: &str) -> Option<String<DEVICE_ID_BYTES>> {
    String::try_from(text).ok().filter(|_| !text.contains(is_harmful))
}

impl PairedKey {
    /// Key of a client that names its device; `None` if [`device_id`] refuses that.
    pub fn new(key: KeyHash, user: &str, device: &str) -> Option<Self> {
        Some(Self { key, user: String::try_from(user).ok()?, device: device_id(device)? })
    }

    /// Parses a line.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = core::str::from_utf8(line).ok()?.splitn(3, ' ');
        let (digits, user, device) = (fields.next()?, fields.next()?, fields.next()?);
        let mut key = [0; HASH_BYTES];
        let is_whole = base16ct::mixed::decode(digits, &mut key).ok()?.len() == HASH_BYTES;
        if is_whole && is_user_name(user) { Self::new(key, user, device) } else { None }
    }

    /// Id for people: the first digits of the key.
    pub fn public_id(&self) -> String<KEY_ID_BYTES> {
        public_id(&self.key)
    }

    /// Returns true for the id, and for any longer beginning of the key up to the whole of it.
    pub fn has_id(&self, id: &str) -> bool {
        has_id(&self.key, id)
    }
}

fn has_id(key: &KeyHash, id: &str) -> bool {
    let mut digits = [0; 2 * HASH_BYTES];
    let digits = base16ct::lower::encode(key, &mut digits).unwrap_or_default();
    let begin = digits.get(..id.len()).filter(|begin| begin.len() >= KEY_ID_BYTES);
    begin.is_some_and(|begin| begin.eq_ignore_ascii_case(id.as_bytes()))
}

impl fmt::Display for PairedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 2 * HASH_BYTES];
        let digits = base16ct::lower::encode_str(&self.key, &mut digits).unwrap_or_default();
        [digits, " ", &self.user, " ", &self.device].into_iter().try_for_each(|part| f.write_str(part))
    }
}

/// Place of a key in [`Pairing`]. Another key may have it next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PairedId(u8);

/// Time in which a key is accepted: the user whose key it is then, and the end.
pub type Window = (UserId, Duration);

/// Paired keys, and the window in which another one is accepted.
#[derive(Debug, Default)]
pub struct Pairing {
    keys: [Option<PairedKey>; PAIRED_KEYS],
    window: Option<Window>,
    /// Begin of the only key of the window; empty: the first one.
    only: String<{ 2 * HASH_BYTES }>,
    /// Time of the latest attempt that was too early.
    early: Option<Duration>,
    /// Bit set of places whose key was replaced or removed since [`take_ended`](Self::take_ended).
    ended: u8,
}

const _: () = assert!(PAIRED_KEYS <= u8::BITS as usize, "a bit for each key");

impl Pairing {
    /// Returns true if certificates of clients mean anything: there are keys, or the window is open.
    pub fn is_in_use(&self) -> bool {
        self.window.is_some() || self.keys.iter().any(Option::is_some)
    }

    /// Returns true without room for another key, unless it is one of those that begin with `only`.
    pub fn is_full(&self, only: &str) -> bool {
        self.keys.iter().flatten().filter(|key| !key.has_id(only)).count() == PAIRED_KEYS
    }

    /// Opens the window for one key of this user: the first one, or the one that begins with `only`.
    pub fn open(&mut self, user: UserId, only: String<{ 2 * HASH_BYTES }>, now: Duration) {
        self.window = Some((user, now + PAIRING_TIME));
        self.only = only;
    }

    /// Notes an attempt without an open window, or of another key than the window is for.
    pub fn handle_early(&mut self, now: Duration) {
        self.early = Some(now);
    }

    /// Returns true if a client has asked too early within the time of a window: it could be the first in the next one.
    pub fn has_early(&self, now: Duration) -> bool {
        self.early.is_some_and(|early| now < early + PAIRING_TIME)
    }

    /// Begin of the only key that the open window accepts; empty if it is the first one.
    pub fn only(&self, now: Duration) -> &str {
        self.window(now).map_or("", |_| &self.only)
    }

    /// Returns true for a key that the window accepts.
    pub fn is_for(&self, key: &KeyHash) -> bool {
        self.only.is_empty() || has_id(key, &self.only)
    }

    /// Closes the window. Returns its user.
    pub fn close(&mut self) -> Option<UserId> {
        self.window.take().map(|(user, _)| user)
    }

    /// Opens a window again that [`accept`](Self::accept) has closed, unless another one is open.
    pub fn reopen(&mut self, window: Window) {
        self.window.get_or_insert(window);
    }

    /// The open window.
    pub fn window(&self, now: Duration) -> Option<Window> {
        self.window.filter(|(_, until)| now < *until)
    }

    /// End of the window.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.window.map(|(_, until)| until)
    }

    /// Closes the window at its end. Returns its user, for whom no key was accepted.
    pub fn handle_timeout(&mut self, now: Duration) -> Option<UserId> {
        self.window.take_if(|(_, until)| now >= *until).map(|(user, _)| user)
    }

    /// Closes the window of a user who is gone.
    pub fn forget_user(&mut self, user: UserId) {
        self.window.take_if(|(other, _)| *other == user);
    }

    /// Keys with their places.
    pub fn iter(&self) -> impl Iterator<Item = (PairedId, &PairedKey)> {
        (0..).map(PairedId).zip(&self.keys).filter_map(|(id, key)| Some((id, key.as_ref()?)))
    }

    /// Key of a place.
    pub fn get(&self, id: PairedId) -> Option<&PairedKey> {
        self.keys.get(usize::from(id.0))?.as_ref()
    }

    /// Finds a key.
    pub fn find(&self, key: &KeyHash) -> Option<(PairedId, &PairedKey)> {
        self.iter().find(|(_, paired)| paired.key == *key)
    }

    /// Accepts a key, in place of an entry that it has, and closes the window. Returns its place and what was there; `None`
    /// without room.
    pub fn accept(&mut self, key: PairedKey) -> Option<(PairedId, Option<PairedKey>)> {
        let known = self.find(&key.key).map(|(id, _)| id);
        let free = || self.keys.iter().position(Option::is_none).map(|index| PairedId(index as u8));
        let id = known.or_else(free)?;
        self.window = None;
        Some((id, self.replace(id, Some(key))))
    }

    /// Sets a place. Returns what was there.
    pub fn replace(&mut self, id: PairedId, key: Option<PairedKey>) -> Option<PairedKey> {
        let before = core::mem::replace(self.keys.get_mut(usize::from(id.0))?, key);
        self.ended |= u8::from(before.is_some()) << id.0;
        before
    }

    /// Removes a key that matches. Returns it.
    pub fn end(&mut self, is_match: impl Fn(&PairedKey) -> bool) -> Option<PairedKey> {
        let id = self.iter().find(|(_, key)| is_match(key)).map(|(id, _)| id)?;
        self.replace(id, None)
    }

    /// Takes the next place whose key was replaced or removed.
    pub fn take_ended(&mut self) -> Option<PairedId> {
        let id = self.ended.checked_ilog2()? as u8;
        self.ended &= !(1 << id);
        Some(PairedId(id))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(number: u8) -> PairedKey {
        PairedKey::new([number; HASH_BYTES], "anna", "kitchen").unwrap()
    }

    #[test]
    fn window_is_open_for_its_time_and_for_one_key() {
        let (mut pairing, now) = (Pairing::default(), Duration::from_secs(5));
        let (anna, ben) = (UserId::LOCAL_OWNER, UserId::LOCAL_ROOT);
        assert_eq!((pairing.window(now), pairing.poll_timeout(), pairing.is_in_use()), (None, None, false));
        pairing.open(anna, String::new(), now);
        let end = now + PAIRING_TIME;
        assert_eq!(pairing.window(end - Duration::from_nanos(1)), Some((anna, end)));
        assert_eq!(
            (pairing.window(end), pairing.poll_timeout(), pairing.is_in_use()),
            (None, Some(end), true)
        );
        assert_eq!(pairing.handle_timeout(end - Duration::from_nanos(1)), None);
        assert_eq!(pairing.handle_timeout(end), Some(anna));
        assert!(!pairing.is_in_use() && pairing.handle_timeout(end).is_none());
        pairing.open(anna, String::new(), now);
        pairing.open(ben, String::new(), now);
        pairing.forget_user(anna);
        assert_eq!(pairing.window(now), Some((ben, end)));
        let (id, before) = pairing.accept(key(1)).unwrap();
        assert_eq!((before, pairing.window(now), pairing.poll_timeout()), (None, None, None));
        assert!(pairing.is_in_use() && pairing.find(&[1; 32]) == Some((id, &key(1))));
        assert_eq!(pairing.get(id), Some(&key(1)));
        pairing.open(anna, String::new(), now);
        pairing.forget_user(anna);
        assert_eq!(pairing.window(now), None);
        pairing.reopen((ben, end));
        pairing.reopen((anna, end));
        assert_eq!((pairing.close(), pairing.close()), (Some(ben), None));
    }

    #[test]
    fn client_that_asks_too_early_is_noted_for_the_time_of_a_window() {
        let (mut pairing, now) = (Pairing::default(), Duration::from_secs(5));
        assert!(!pairing.has_early(now));
        pairing.handle_early(now);
        let end = now + PAIRING_TIME;
        assert!(pairing.has_early(now) && pairing.has_early(end - Duration::from_nanos(1)));
        assert!(!pairing.has_early(end));
    }

    #[test]
    fn window_is_for_any_key_or_for_the_one_that_begins_so() {
        let mut pairing = Pairing::default();
        let now = Duration::from_secs(5);
        pairing.open(UserId::LOCAL_OWNER, String::new(), now);
        assert!(pairing.is_for(&key(1).key) && pairing.is_for(&key(2).key));
        pairing.open(UserId::LOCAL_OWNER, String::try_from(key(1).public_id().as_str()).unwrap(), now);
        assert!(pairing.is_for(&key(1).key) && !pairing.is_for(&key(2).key));
    }

    #[test]
    fn keys_up_to_their_limit() {
        let mut pairing = Pairing::default();
        for number in 0..PAIRED_KEYS as u8 {
            assert!(!pairing.is_full(""));
            pairing.accept(key(number)).unwrap();
        }
        assert!(pairing.is_full("") && pairing.accept(key(99)).is_none());
        assert!(!pairing.is_full(&"03".repeat(8)), "that one keeps its place");
        // One that is there already is for another user from now on.
        let again = PairedKey { user: "ben".try_into().unwrap(), ..key(3) };
        let (id, before) = pairing.accept(again.clone()).unwrap();
        assert_eq!((before, pairing.find(&[3; 32])), (Some(key(3)), Some((id, &again))));
        assert_eq!(pairing.iter().count(), PAIRED_KEYS);
        assert_eq!((pairing.take_ended(), pairing.take_ended()), (Some(id), None));
        assert_eq!(pairing.replace(id, None), Some(again));
        assert_eq!(pairing.find(&[3; 32]), None);
        assert_eq!(pairing.take_ended(), Some(id));
        assert_eq!(pairing.accept(key(99)).unwrap(), (id, None));
    }

    #[test]
    fn line_of_a_key() {
        let line = format!("{} anna kitchen", "1e".repeat(32));
        assert_eq!(key(30).to_string(), line);
        assert_eq!(key(30).public_id(), "1e1e1e1e1e1e1e1e");
        assert_eq!(PairedKey::parse(line.as_bytes()), Some(key(30)));
        let long = format!("{} anna {}", "01".repeat(32), "d".repeat(DEVICE_ID_BYTES + 1));
        let other = [
            "",
            "01 anna x",
            &line[1..],
            &line.replace("anna", "an\u{e4}"),
            &line.replace(" kitchen", ""),
            &line.replace("kitchen", "k\tx"),
            &long,
        ];
        for line in other {
            assert_eq!(PairedKey::parse(line.as_bytes()), None, "{line}");
        }
        assert!(PairedKey::parse(&long.as_bytes()[..long.len() - 1]).is_some());
    }

    /// Two keys whose hashes begin with the same 32 bits are made within seconds.
    #[test]
    fn id_of_a_key_is_longer_than_what_two_keys_share() {
        let mut pairing = Pairing::default();
        let keys = ["864839fb00000000", "864839fb00000001"]
            .map(|begin| PairedKey::parse(format!("{begin}{} anna x", "0".repeat(48)).as_bytes()).unwrap());
        keys.iter().for_each(|key| assert!(pairing.accept(key.clone()).is_some()));
        let [first, second] = &keys;
        let whole = first.to_string()[..64].to_owned();
        for id in [first.public_id().as_str(), &whole, &whole[..40], &whole.to_uppercase()] {
            assert!(first.has_id(id) && !second.has_id(id), "{id}");
        }
        let longer = whole.clone() + "0";
        for id in ["", "864839fb", &whole[..KEY_ID_BYTES - 1], &longer, &whole[1..]] {
            assert!(!first.has_id(id), "{id}");
        }
        assert_eq!(pairing.end(|key| key.has_id("864839fb")), None);
        assert_eq!(pairing.end(|key| key.has_id(&whole)), Some(first.clone()));
        assert_eq!(pairing.iter().map(|(_, key)| key).collect::<Vec<_>>(), [second]);
    }

    proptest! {
        #[test]
        fn parser_never_panics(line in any::<Vec<u8>>()) {
            let _ = PairedKey::parse(&line);
        }

        #[test]
        fn written_line_is_parsed(key in any::<[u8; 32]>(), user in "[a-zA-Z0-9._@-]{1,32}", device in "\\PC{0,16}") {
            let paired = PairedKey::new(key, &user, &device);
            let paired = paired.filter(|paired| !paired.to_string().contains('\n'));
            if let Some(paired) = paired {
                prop_assert_eq!(PairedKey::parse(paired.to_string().as_bytes()), Some(paired));
            }
        }
    }
}
