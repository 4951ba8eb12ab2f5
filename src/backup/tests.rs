use proptest::prelude::*;

use super::*;

fn file<'b>(name: &'b str, content: &'b [u8]) -> File<'b> {
    let modified = Time { seconds: 1_795_996_800, nanoseconds: 999_999_999 };
    File { name, mode: 0o600, modified, content }
}

#[test]
fn header_is_that_of_its_content_alone() {
    let header = Header::new(7, b"content");
    let sector = header.sector();
    assert_eq!(sector[..20], *b"FLBACK1\n\x07\0\0\0\0\0\0\0\x07\0\0\0");
    assert!(sector[52..].iter().all(|byte| *byte == 0));
    assert_eq!(Header::parse(&sector), Some(header.clone()));
    assert!(header.is_of(b"content"));
    for other in [&b"contenu"[..], b"conten", b"contents", b""] {
        assert!(!header.is_of(other));
    }
    for byte in 0..52 {
        let mut flipped = sector;
        flipped[byte] ^= 0x10;
        assert!(Header::parse(&flipped).is_none_or(|header| !header.is_of(b"content")), "{byte}");
    }
}

#[test]
fn reserved_place_has_a_header_and_no_content() {
    let blank = Header::default();
    assert_eq!(Header::parse(&blank.sector()), Some(blank.clone()));
    assert!(blank.sector()[8..].iter().all(|byte| *byte == 0));
    assert!(!blank.is_of(b""));
    assert_eq!(Header::parse(&[0; HEADER_BYTES]), None);
    let erasing = Header::new(3, b"x").erasing();
    assert_eq!(Header::parse(&erasing.sector()), Some(erasing.clone()));
    assert!(erasing.is_of(b"x"));
}

#[test]
fn content_that_a_slot_has_no_room_for_has_no_length() {
    let of = |length| Header { length, ..Header::default() }.content_length();
    assert_eq!(of(CONTENT_BYTES as u32), Some(CONTENT_BYTES));
    assert_eq!((of(CONTENT_BYTES as u32 + 1), of(u32::MAX)), (None, None));
}

#[test]
fn archive_has_its_files_in_order() {
    let all =
        [file("friendlet.toml", b"[listen]\n"), file("state/passwords", b""), file("state/tls/k.pem", b"\0")];
    let mut archive = Archive::default();
    all.iter().for_each(|file| archive.push(file).unwrap());
    assert_eq!(files(archive.bytes()).unwrap(), all);
    assert_eq!(archive.files(), 3);
    assert_eq!(archive.bytes()[..19], *b"\x0e\x80\x01\x80\xbc\x0c\x6b\0\0\0\0\xff\xc9\x9a\x3b\x09\0\0\0");
    for end in 1..archive.bytes().len() {
        let cut = files(&archive.bytes()[..end]);
        assert!(cut.is_none_or(|cut| cut.len() < 3), "{end}");
    }
    assert_eq!(files(b""), Some(Vec::new()));
}

#[test]
fn names_outside_of_the_backup_are_damage() {
    for name in [
        "state/seed",
        "/etc/passwd",
        "friendlet.d/../state/x",
        "state/tls/",
        "state/tls/a/b",
        "state/tls/.key.pem.new",
        "state/tls/key.pem.copy",
        "friendlet.d/a.toml~",
        "",
    ] {
        assert!(!is_kept(name), "{name}");
        let mut archive = Archive::default();
        archive.push(&file(name, b"x")).unwrap();
        assert_eq!(files(archive.bytes()), None, "{name}");
    }
    assert!(is_kept("friendlet.d/10-owner.toml") && is_kept("state/tls/certificate.pem"));
    visit_kept(&mut |name| assert!(is_kept(name) != name.ends_with('/')));
}

#[test]
fn archive_up_to_its_limit_is_whole() {
    let room = CONTENT_BYTES - 19 - "state/enabled".len();
    let content = vec![b'x'; room + 1];
    let mut archive = Archive::default();
    assert_eq!(archive.push(&file("state/enabled", &content)), Err(Full));
    archive.push(&file("state/enabled", &content[1..])).unwrap();
    assert_eq!(archive.bytes().len() + HEADER_BYTES, BACKUP_BYTES);
    assert_eq!(files(archive.bytes()).unwrap()[0].content.len(), room);
    assert_eq!(archive.push(&file("state/passwords", b"")), Err(Full));
}

#[test]
fn archive_has_at_most_the_limit_of_files() {
    let mut archive = Archive::default();
    let names: Vec<_> = (0..=BACKUP_FILES).map(|number| format!("friendlet.d/{number}.toml")).collect();
    for name in &names[..BACKUP_FILES] {
        archive.push(&file(name, b"x")).unwrap();
    }
    assert_eq!(archive.push(&file(&names[BACKUP_FILES], b"x")), Err(Full));
    assert_eq!(files(archive.bytes()).unwrap().len(), BACKUP_FILES);
    let one_more = [archive.bytes(), &archive.bytes()[..19 + names[0].len() + 1]].concat();
    assert_eq!(files(&one_more), None);
}

proptest! {
    #[test]
    fn any_content_is_files_or_damage(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Some(parsed) = files(&bytes) {
            let mut archive = Archive::default();
            parsed.iter().for_each(|file| archive.push(file).unwrap());
            prop_assert_eq!(archive.bytes(), bytes.as_slice());
        }
    }

    #[test]
    fn any_files_are_read_as_they_were_written(
        contents in proptest::collection::vec(
            ("[a-z]{1,20}", any::<u16>(), any::<i64>(), any::<u32>(), proptest::collection::vec(any::<u8>(), 0..100)),
            0..20,
        ),
    ) {
        let names: Vec<_> = contents.iter().map(|file| format!("friendlet.d/{}", file.0)).collect();
        let all: Vec<_> = contents.iter().zip(&names).map(|((_, mode, seconds, nanoseconds, content), name)| File {
            name,
            mode: *mode,
            modified: Time { seconds: *seconds, nanoseconds: *nanoseconds },
            content,
        }).collect();
        let mut archive = Archive::default();
        all.iter().for_each(|file| archive.push(file).unwrap());
        prop_assert_eq!(files(archive.bytes()), Some(all));
    }

    #[test]
    fn any_header_is_read_as_it_was_written(generation: u64, length: u32, is_erasing: bool) {
        let header = Header { generation, length, is_erasing, ..Header::new(0, b"x") };
        prop_assert_eq!(Header::parse(&header.sector()), Some(header));
    }
}
