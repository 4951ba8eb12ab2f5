//! Boots of a board with two systems: boot loader, init and server, each as its rules say.

use proptest::prelude::*;

use super::*;
use crate::init::boot_state::{self, Sector};
use crate::init::command_line::Slot;
use crate::sys::machine::SECTOR_BYTES;

/// A system in a slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum System {
    /// Its root cannot be entered.
    NoRoot,
    /// The board hangs, and its watchdog resets it.
    Hangs,
    /// Its server exits again and again.
    Crashes,
    /// Its server is never ready.
    NotReady,
    /// It serves, and its server reports that it does not work.
    Bad,
    /// It serves, and nothing is reported.
    Silent,
    /// It works.
    Good,
    /// An earlier version, which knows nothing of bytes 6 and later, serves.
    Earlier,
}

const SYSTEMS: [System; 8] = [
    System::NoRoot,
    System::Hangs,
    System::Crashes,
    System::NotReady,
    System::Bad,
    System::Silent,
    System::Good,
    System::Earlier,
];

impl System {
    fn serves(self) -> bool {
        matches!(self, Self::Bad | Self::Silent | Self::Good | Self::Earlier)
    }
}

/// The boot loader: `cross/image/boot.cmd`.
fn load(sector: &mut Sector) -> Slot {
    let active = Slot::from_letter(sector[4]).unwrap();
    match sector[5] {
        0xff => active,
        tries @ 1..=15 => {
            sector[5] = tries - 1;
            active
        }
        _ => {
            (sector[4], sector[5]) = (active.other().letter(), 2);
            active.other()
        }
    }
}

/// One boot of a system. Returns true if the board runs on.
fn boot(sector: &mut Sector, slot: Slot, system: System) -> bool {
    if system == System::NoRoot {
        assert!(boot_state::give_up(sector, slot, "no root"));
        return false;
    }
    if system == System::Earlier {
        sector[5] = 0xff;
        return true;
    }
    let test = boot_state::begin(sector, slot).unwrap();
    if system == System::Hangs {
        return false;
    }
    crate::log::set_level(crate::log::Level::Off);
    let mut supervisor = InitSupervisor::new(test, false);
    let mut now = s(0);
    // Long enough for every test.
    while now < 2 * GOOD_TIMEOUT {
        match supervisor.poll_action(now) {
            Some(InitAction::StartServer) => match system {
                System::Crashes => supervisor.handle_exit(None, now),
                System::NotReady => {}
                _ => {
                    supervisor.handle_notification(Notification::Ready, now);
                    match system {
                        System::Bad => supervisor.handle_notification(Notification::Bad("bad"), now),
                        System::Good => supervisor.handle_notification(Notification::Good, now),
                        _ => {}
                    }
                }
            },
            Some(InitAction::KillServer) => supervisor.handle_exit(Some(Exit::signal(9)), now),
            Some(InitAction::ConfirmSlot { is_good }) => {
                boot_state::confirm(sector, slot, is_good).unwrap();
            }
            Some(InitAction::GiveUp) => {
                let is_recorded = boot_state::give_up(sector, slot, supervisor.reason());
                supervisor.handle_given_up(is_recorded, now);
            }
            Some(InitAction::TerminateServer) => supervisor.handle_exit(Some(Exit::Code(0)), now),
            Some(InitAction::TerminateOthers) => supervisor.handle_no_children(now),
            Some(InitAction::Finish(PowerAction::Restart)) => return false,
            Some(_) => {}
            None => {
                if system.serves() {
                    supervisor.handle_notification(Notification::Heartbeat, now);
                }
                now = now.max(supervisor.poll_timeout().unwrap().min(now + s(5)));
            }
        }
    }
    true
}

/// Boots until the board runs on, at most so many times. Returns the slot, and the number of boots.
fn run(sector: &mut Sector, systems: [System; 2], most: usize) -> Option<(Slot, usize)> {
    (1..=most).find_map(|boots| {
        let slot = load(sector);
        boot(sector, slot, system_of(systems, slot)).then_some((slot, boots))
    })
}

fn system_of(systems: [System; 2], slot: Slot) -> System {
    systems[usize::from(slot == Slot::B)]
}

fn sector(start: &[u8]) -> Sector {
    let mut sector = [0; SECTOR_BYTES];
    sector[..start.len()].copy_from_slice(start);
    sector
}

/// The most boots until a board runs on: three tries of each slot, and once more with what they have shown.
const MOST: usize = 15;

#[test]
fn update_that_is_not_good_goes_back_and_one_that_is_stays() {
    for bad in [System::NoRoot, System::Hangs, System::Crashes, System::NotReady, System::Bad, System::Silent]
    {
        // As an updater writes it: from this version, and from an earlier one.
        for start in [&b"FLB1B\x03\x00\x03"[..], b"FLB1B\x03"] {
            let mut sector = sector(start);
            let end = run(&mut sector, [System::Good, bad], MOST);
            assert_eq!(end, Some((Slot::A, 4)), "{bad:?}");
            assert_eq!(boot_state::slot_state(&sector, Slot::A), Ok(boot_state::SlotState::Confirmed));
            assert!(boot_state::failure_of_other(&sector, Slot::A).is_some(), "{bad:?}");
            // And stays there.
            assert_eq!(run(&mut sector, [System::Good, bad], 1), Some((Slot::A, 1)));
        }
    }
    let mut sector = sector(b"FLB1B\x03\x00\x01");
    assert_eq!(run(&mut sector, [System::Good, System::Good], MOST), Some((Slot::B, 1)));
    assert_eq!(sector[..8], *b"FLB1B\xff\x00\x03");
}

#[test]
fn good_slot_that_does_not_start_goes_back_once() {
    let mut sector = sector(b"FLB1B\xff\x00\x03");
    assert_eq!(run(&mut sector, [System::Good, System::Crashes], MOST), Some((Slot::A, 2)));
    assert_eq!(boot_state::failure_of_other(&sector, Slot::A), Some("its server exited 5 times in a row"));
    // The other one does not start either: the board stays in the first of them.
    sector[..8].copy_from_slice(b"FLB1B\xff\x00\x03");
    let both = [System::Crashes, System::Crashes];
    assert_eq!(run(&mut sector, both, MOST), Some((Slot::B, 1 + 3 + 3)));
    // Without another good slot it stays at once.
    sector[..8].copy_from_slice(b"FLB1B\xff\x00\x02");
    assert_eq!(run(&mut sector, both, MOST), Some((Slot::B, 1)));
}

proptest! {
    #[test]
    fn board_ends_in_a_slot_that_serves(
        systems in prop::array::uniform2(prop::sample::select(SYSTEMS.to_vec())),
        active in prop::sample::select(vec![Slot::A, Slot::B]),
        tries in prop::sample::select(vec![3, 0xff]),
        was_other_given_up: bool,
        good in 0..4_u8,
        // Those of all three tries would count as failures.
        power_cuts in 0..3_usize,
    ) {
        let given_up = if was_other_given_up { active.other().letter() - b'A' + 1 } else { 0 };
        let failed = if was_other_given_up { active.other().letter() } else { 0 };
        let mut sector = sector(&[b'F', b'L', b'B', b'1', active.letter(), tries, given_up, good, failed]);
        for _ in 0..power_cuts {
            let slot = load(&mut sector);
            boot(&mut sector, slot, System::Hangs);
        }
        let end = run(&mut sector, systems, MOST);
        let serves = |system: &System| system.serves();
        let Some((slot, _)) = end else {
            // The loader goes on between systems that init does not run in, and counts no try of a confirmed one.
            let is_unknown = |system: &System| matches!(system, System::NoRoot | System::Hangs);
            prop_assert!(systems.iter().any(is_unknown) && (!systems.iter().any(serves) || tries == 0xff));
            return Ok(());
        };
        // A confirmed slot without another good one runs on, whatever its server does.
        prop_assert!(system_of(systems, slot).serves() || !systems.iter().any(serves) || tries == 0xff);
        if system_of(systems, slot).serves() {
            prop_assert_eq!(run(&mut sector, systems, 1), Some((slot, 1)), "the next boot is one of the same slot");
        }
    }
}
