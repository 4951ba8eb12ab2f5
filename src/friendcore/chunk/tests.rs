use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};
use proptest::prelude::*;

use super::super::{Message, decode};
use super::*;
use crate::friendcore::{CHUNK_AGE, CHUNK_ENVELOPE_BYTES, CHUNK_PIECE_BYTES};

const NOW: Duration = Duration::from_secs(5);

fn part<'m>(id: &'m str, part: u32, total: u32, data: &'m str) -> Part<'m> {
    Part { id, part, total, data }
}

/// Connection of an administrator.
fn at(connection: u32) -> Owner {
    Owner { connection, user: None, is_admin: true }
}

fn complete(progress: Result<Progress, ChunkError>) -> SetId {
    match progress {
        Ok(Progress::Complete(id)) => id,
        other => panic!("{other:?}"),
    }
}

fn base64(text: &[u8]) -> std::string::String {
    let encoded = BASE64.encode(text).into_bytes();
    std::string::String::from_utf8(encoded).unwrap()
}

#[test]
fn one_part_completes() {
    let mut pool = Assembler::new();
    let id = complete(pool.handle_part(at(1), part("a", 0, 1, "aGVsbG8="), NOW));
    assert_eq!(pool.message(id), b"hello");
    pool.release(id);
    assert_eq!(pool.message(id), b"");
}

#[test]
fn parts_in_any_order_and_of_any_size() {
    let mut pool = Assembler::new();
    assert_eq!(pool.handle_part(at(1), part("a", 2, 4, "8sIHd"), NOW), Ok(Progress::Waiting));
    assert_eq!(pool.handle_part(at(1), part("a", 0, 4, "aGV"), NOW), Ok(Progress::Waiting));
    assert_eq!(pool.handle_part(at(1), part("a", 3, 4, "vcmxk"), NOW), Ok(Progress::Waiting));
    let id = complete(pool.handle_part(at(1), part("a", 1, 4, "sbG"), NOW));
    assert_eq!(pool.message(id), b"hello, world");
}

#[test]
fn owners_and_ids_do_not_meet() {
    for (owner, id) in [(2, "a"), (1, "b")] {
        let mut pool = Assembler::new();
        assert_eq!(pool.handle_part(at(1), part("a", 0, 2, "aGVs"), NOW), Ok(Progress::Waiting));
        assert_eq!(pool.handle_part(at(owner), part(id, 1, 2, "bG8="), NOW), Ok(Progress::Waiting));
        let set = complete(pool.handle_part(at(1), part("a", 1, 2, "bG9v"), NOW));
        assert_eq!(pool.message(set), b"helloo");
    }
}

#[test]
fn refused_parts_drop_their_set() {
    let cases = [
        (part("a", 0, 3, "YWFh"), ChunkError::Duplicate),
        (part("a", 1, 4, "YWFh"), ChunkError::Inconsistent),
        (part("a", 3, 3, "YWFh"), ChunkError::Part),
        (part("a", u32::MAX, 3, "YWFh"), ChunkError::Part),
    ];
    for (wrong, error) in cases {
        let mut pool = Assembler::new();
        assert_eq!(pool.handle_part(at(1), part("a", 0, 3, "YWFh"), NOW), Ok(Progress::Waiting));
        assert_eq!(pool.handle_part(at(1), wrong, NOW), Err(error));
        assert_eq!(pool.poll_timeout(), None, "{error}: the set is gone");
        // What comes now is the first of a new set.
        assert_eq!(pool.handle_part(at(1), part("a", 0, 2, "YWFh"), NOW), Ok(Progress::Waiting));
    }
}

#[test]
fn total_limit() {
    let mut pool = Assembler::new();
    let most = limits::CHUNK_PARTS as u32;
    assert_eq!(pool.handle_part(at(1), part("a", 0, most + 1, ""), NOW), Err(ChunkError::Total));
    assert_eq!(pool.handle_part(at(1), part("a", 0, 0, ""), NOW), Err(ChunkError::Total));
    assert_eq!(pool.handle_part(at(1), part("a", 0, u32::MAX, ""), NOW), Err(ChunkError::Total));
    for number in 1..most {
        assert_eq!(pool.handle_part(at(1), part("a", number, most, "YWFh"), NOW), Ok(Progress::Waiting));
    }
    let id = complete(pool.handle_part(at(1), part("a", 0, most, "YWFh"), NOW));
    assert_eq!(pool.message(id).len(), 3 * limits::CHUNK_PARTS);
}

#[test]
fn id_limit() {
    let mut pool = Assembler::new();
    let id = "i".repeat(limits::CHUNK_ID_BYTES);
    assert_eq!(pool.handle_part(at(1), part(&id, 0, 2, ""), NOW), Ok(Progress::Waiting));
    let longer = "i".repeat(limits::CHUNK_ID_BYTES + 1);
    assert_eq!(pool.handle_part(at(1), part(&longer, 0, 2, ""), NOW), Err(ChunkError::Id));
    assert_eq!(pool.handle_part(at(1), part("", 0, 2, ""), NOW), Err(ChunkError::Id));
}

#[test]
fn bytes_limit() {
    let mut pool = Assembler::new();
    let most = "A".repeat(limits::CHUNK_BYTES / 4 * 4);
    let (front, back) = most.split_at(most.len() / 2);
    assert_eq!(pool.handle_part(at(1), part("a", 0, 2, front), NOW), Ok(Progress::Waiting));
    let id = complete(pool.handle_part(at(1), part("a", 1, 2, back), NOW));
    assert_eq!(pool.message(id).len(), most.len() / 4 * 3);

    let longer = "A".repeat(limits::CHUNK_BYTES - front.len() + 1);
    assert_eq!(pool.handle_part(at(1), part("b", 1, 2, front), NOW), Ok(Progress::Waiting));
    assert_eq!(pool.handle_part(at(1), part("b", 0, 2, &longer), NOW), Err(ChunkError::TooLong));
    assert_eq!(pool.poll_timeout(), None);
}

#[test]
fn sets_limit() {
    let mut pool = Assembler::new();
    for owner in 0..limits::CHUNK_SETS as u32 {
        assert_eq!(pool.handle_part(at(owner), part("a", 0, 2, "YWFh"), NOW), Ok(Progress::Waiting));
    }
    let late = limits::CHUNK_SETS as u32;
    assert_eq!(pool.handle_part(at(late), part("a", 0, 2, "YWFh"), NOW), Err(ChunkError::Busy));
    assert_eq!(pool.lease_down(at(late), b"x", NOW), Err(ChunkError::Busy));
    pool.drop_owner(0);
    assert!(pool.lease_down(at(late), b"x", NOW).is_ok());
}

#[test]
fn user_has_a_share_of_the_sets_and_an_administrator_the_last() {
    let mut pool = Assembler::new();
    let mut connections = 1..;
    let mut count = |pool: &mut Assembler, user: Option<UserId>| {
        let mut start = |connection| {
            let owner = Owner { connection, user, is_admin: false };
            pool.handle_part(owner, part("a", 0, 2, "YWFh"), NOW).is_ok()
        };
        connections.by_ref().take_while(|connection| start(*connection)).count()
    };
    let [user, other] = [UserId::LOCAL_ROOT, UserId::LOCAL_OWNER].map(Some);
    assert_eq!(count(&mut pool, user), SHARED_CHUNK_SETS.div_ceil(2));
    assert!(count(&mut pool, other) > 0, "a user leaves sets for the next one");
    while count(&mut pool, other) + count(&mut pool, None) > 0 {}
    let late = Owner { connection: 99, user: None, is_admin: false };
    assert_eq!(pool.lease_down(late, b"x", NOW), Err(ChunkError::Busy));
    for connection in 100..100 + (limits::CHUNK_SETS - SHARED_CHUNK_SETS) as u32 {
        assert!(pool.lease_down(at(connection), b"x", NOW).is_ok());
    }
    // A set that is being read is none of a share: the answer has one.
    let (mut pool, late) = (Assembler::new(), Owner { user, ..late });
    for connection in 1..SHARED_CHUNK_SETS as u32 {
        pool.handle_part(at(connection), part("a", 0, 2, "YWFh"), NOW).unwrap();
    }
    complete(pool.handle_part(late, part("a", 0, 1, "aGVsbG8="), NOW));
    assert!(pool.lease_down(late, b"x", NOW).is_ok());
}

#[test]
fn age_limit() {
    let mut pool = Assembler::new();
    assert_eq!(pool.poll_timeout(), None);
    pool.handle_part(at(1), part("a", 0, 3, "YWFh"), NOW).unwrap();
    pool.handle_part(at(1), part("a", 1, 3, "YWFh"), NOW + Duration::from_secs(9)).unwrap();
    let deadline = NOW + CHUNK_AGE;
    assert_eq!(pool.poll_timeout(), Some(deadline), "the age counts from the first part");
    pool.handle_timeout(deadline - Duration::from_millis(1));
    assert_eq!(pool.poll_timeout(), Some(deadline));
    pool.handle_timeout(deadline);
    assert_eq!(pool.poll_timeout(), None);
}

#[test]
fn expired_sets_are_free_at_once() {
    let mut pool = Assembler::new();
    for owner in 0..limits::CHUNK_SETS as u32 {
        pool.handle_part(at(owner), part("a", 0, 2, "YWFh"), NOW).unwrap();
    }
    assert!(pool.lease_down(at(99), b"x", NOW + CHUNK_AGE).is_ok());
}

#[test]
fn base64_is_decoded_strictly() {
    for wrong in [
        "aGVsbG8",
        "aGVs bG8=",
        "aGVsbG8=\n",
        "aGV=bG8=",
        "YQ==YQ==",
        "Y===",
        "=",
        "====",
        "YR==",
        "aGVs-_8=",
    ] {
        let mut pool = Assembler::new();
        let result = pool.handle_part(at(1), part("a", 0, 1, wrong), NOW);
        assert_eq!(result, Err(ChunkError::Base64), "{wrong}");
    }
}

#[test]
fn stale_ids_refer_to_nothing() {
    let mut pool = Assembler::new();
    let old = complete(pool.handle_part(at(1), part("a", 0, 1, "YWFh"), NOW));
    pool.release(old);
    let new = complete(pool.handle_part(at(1), part("b", 0, 1, "YmJi"), NOW));
    pool.release(old);
    assert_eq!(pool.message(new), b"bbb");
    pool.drop_owner(1);
    assert_eq!(pool.message(new), b"");
}

#[test]
fn reply_is_sent_in_parts() {
    let mut pool = Assembler::new();
    let text: Vec<u8> = (0..limits::CHUNK_BYTES / 4 * 3).map(|at| b'a' + (at % 26) as u8).collect();
    let id = pool.lease_down(at(1), &text, NOW).unwrap();
    assert_eq!(pool.poll_timeout(), None, "the peer's own deadline bounds a reply under way");
    let encoded = base64(&text);
    let total = encoded.len().div_ceil(CHUNK_PIECE_BYTES);
    assert_eq!(pool.parts(id), total);

    let mut joined = String::<{ limits::CHUNK_BYTES }>::new();
    let mut buffer = vec![0; CHUNK_PIECE_BYTES + CHUNK_ENVELOPE_BYTES];
    for number in 0..total {
        let mut out = Writer::new(&mut buffer);
        pool.write_part(id, number, &mut out).unwrap();
        let length = out.finish().unwrap().len();
        let mut scratch = super::super::Scratch::default();
        let Ok(Message::Chunk(part)) = decode(&mut buffer[..length], &mut scratch) else {
            panic!("part {number} is not a chunk");
        };
        assert_eq!((part.part, part.total), (number as u32, total as u32));
        joined.push_str(part.data).unwrap();
    }
    assert_eq!(joined.as_str(), encoded);

    let mut out = Writer::new(&mut buffer);
    pool.write_part(id, total, &mut out).unwrap();
    assert!(out.is_empty());
    pool.release(id);
    assert_eq!(pool.parts(id), 0);
}

#[test]
fn part_to_the_byte() {
    let mut pool = Assembler::new();
    let id = pool.lease_down(at(1), b"hello", NOW).unwrap();
    let mut buffer = [0; 128];
    let mut out = Writer::new(&mut buffer);
    pool.write_part(id, 0, &mut out).unwrap();
    assert_eq!(
        core::str::from_utf8(out.finish().unwrap()).unwrap(),
        r#"{"type":"con","data":{"type":"chunk","data":{"id":"0x000","total":"1","part":"0","data":"aGVsbG8="}}}"#
    );
    let mut out = Writer::new(&mut buffer[..90]);
    assert_eq!(pool.write_part(id, 0, &mut out), Err(Full));
}

#[test]
fn envelope_of_a_part_is_within_its_room() {
    let mut pool = Assembler::new();
    let text = vec![b'a'; limits::CHUNK_BYTES / 4 * 3];
    for _ in 0..limits::CHUNK_SETS {
        let id = pool.lease_down(at(u32::MAX), &text, NOW).unwrap();
        let longest = CHUNK_PIECE_BYTES.min(limits::CHUNK_BYTES / 4 * 4);
        let mut buffer = vec![0; longest + CHUNK_ENVELOPE_BYTES];
        let mut out = Writer::new(&mut buffer);
        pool.write_part(id, 0, &mut out).unwrap();
        let length = out.finish().unwrap().len();
        let mut out = Writer::new(&mut buffer[..length - 1]);
        assert_eq!(pool.write_part(id, 0, &mut out), Err(Full));
    }
}

#[test]
fn sent_bytes_limit() {
    let mut pool = Assembler::new();
    let most = vec![b'a'; limits::CHUNK_BYTES / 4 * 3];
    let id = pool.lease_down(at(1), &most, NOW).unwrap();
    pool.release(id);
    let longer = vec![b'a'; most.len() + 1];
    assert_eq!(pool.lease_down(at(1), &longer, NOW), Err(ChunkError::TooLong));
    let far_longer = vec![b'a'; limits::CHUNK_BYTES + 1];
    assert_eq!(pool.lease_down(at(1), &far_longer, NOW), Err(ChunkError::TooLong));
    for _ in 0..limits::CHUNK_SETS {
        assert!(pool.lease_down(at(1), b"x", NOW).is_ok(), "a text that was refused holds no set");
    }
}

proptest! {
    #[test]
    fn parts_of_any_size_in_any_order_make_the_text(
        text in proptest::collection::vec(any::<u8>(), 0..limits::CHUNK_BYTES.min(8000) / 4 * 3),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..limits::CHUNK_PARTS.min(8)),
        order in any::<u64>(),
    ) {
        let encoded = base64(&text);
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(encoded.len() + 1)).collect();
        places.sort_unstable();
        places.push(encoded.len());
        let mut from = 0;
        let mut parts = Vec::new();
        for (number, place) in places.iter().enumerate() {
            parts.push((number as u32, &encoded[from..*place]));
            from = *place;
        }
        let total = parts.len() as u32;
        let mut pool = Assembler::new();
        let mut order = order;
        let mut last = None;
        while !parts.is_empty() {
            let (number, data) = parts.remove((order % parts.len() as u64) as usize);
            order = order.rotate_left(7);
            last = Some(pool.handle_part(at(1), part("x", number, total, data), NOW));
        }
        let id = complete(last.unwrap());
        prop_assert_eq!(pool.message(id), &text[..]);
    }
}
