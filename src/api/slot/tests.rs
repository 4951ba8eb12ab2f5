use proptest::prelude::*;

use super::*;
use crate::config::SETTLE_TIME;

const DOWN: Option<Missing<'static>> = Some(Missing::Service("web"));

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn slot(state: SlotState, needs_administrator: bool) -> SlotTest {
    SlotTest { update: Update { settle: SETTLE_TIME, needs_administrator }, ..SlotTest::new(state) }
}

#[test]
fn slot_is_good_once_everything_has_been_up_for_its_time() {
    for state in [SlotState::Testing, SlotState::Confirmed] {
        let mut slot = slot(state, false);
        assert_eq!(slot.look(DOWN, s(5)), None);
        assert_eq!(slot.missing(DOWN, s(5)), DOWN);
        assert_eq!(slot.look(None, s(10)), None);
        assert_eq!(slot.poll_timeout(), Some(s(10) + SETTLE_TIME));
        assert_eq!(slot.missing(None, s(69)), Some(Missing::Time(59, 60)));
        // A break begins the time anew.
        assert_eq!(slot.look(DOWN, s(69)), None);
        assert_eq!(slot.look(None, s(70)), None);
        assert_eq!((slot.look(None, s(129)), slot.result()), (None, None));
        assert_eq!(slot.look(None, s(130)), Some(SlotEvent::Good));
        assert_eq!((slot.state(), slot.result()), (SlotState::Good, Some(SlotState::Good)));
        slot.handle_reported();
        // From then on nothing counts.
        assert_eq!((slot.look(DOWN, s(1000)), slot.result(), slot.poll_timeout()), (None, None, None));
        assert_eq!(slot.missing(DOWN, s(1000)), None);
    }
}

#[test]
fn tested_slot_that_is_not_good_in_time_fails() {
    let end = s(5) + SETTLE_TIME + GOOD_TIME;
    let mut tested = slot(SlotState::Testing, false);
    assert_eq!(tested.look(DOWN, s(5)), None);
    assert_eq!(tested.poll_timeout(), Some(end - FAILURE_NOTICE));
    assert_eq!(tested.look(DOWN, end - FAILURE_NOTICE - s(1)), None);
    let warning = SlotEvent::Fails(Missing::Service("web"), FAILURE_NOTICE);
    assert_eq!(tested.look(DOWN, end - FAILURE_NOTICE), Some(warning));
    assert_eq!(tested.poll_timeout(), Some(end));
    assert_eq!(tested.look(DOWN, end - s(1)), None, "once");
    assert_eq!(tested.look(DOWN, end), Some(SlotEvent::Fails(Missing::Service("web"), s(0))));
    assert_eq!((tested.state(), tested.result()), (SlotState::Failed, Some(SlotState::Failed)));
    // Too late.
    assert_eq!((tested.look(None, end + SETTLE_TIME), tested.poll_timeout()), (None, None));
    assert_eq!(tested.confirm(None, end + SETTLE_TIME), Err(Missing::Failed));
    // The test of a confirmed slot is over.
    let mut confirmed = slot(SlotState::Confirmed, false);
    assert_eq!(confirmed.look(DOWN, s(5)), None);
    assert_eq!((confirmed.look(DOWN, 10 * end), confirmed.poll_timeout()), (None, None));
}

#[test]
fn administrators_have_their_time_to_confirm_a_slot() {
    let mut tested = slot(SlotState::Testing, true);
    assert_eq!(tested.look(None, s(1)), None);
    assert_eq!(tested.confirm(DOWN, s(30)), Err(Missing::Service("web")));
    assert_eq!(tested.confirm(None, s(30)), Err(Missing::Time(29, 60)));
    assert_eq!(tested.look(None, s(61)), None);
    let end = s(61) + CONFIRM_TIME;
    assert_eq!(tested.poll_timeout(), Some(end - FAILURE_NOTICE));
    // A service that fails meanwhile does not begin it anew.
    assert_eq!(tested.look(DOWN, s(100)), None);
    assert_eq!(tested.confirm(DOWN, s(100)), Err(Missing::Service("web")));
    assert_eq!(tested.look(None, s(101)), None);
    let warning = SlotEvent::Fails(Missing::Administrator, FAILURE_NOTICE);
    assert_eq!(tested.look(None, end - FAILURE_NOTICE), Some(warning));
    assert_eq!(tested.confirm(None, end - s(1)), Ok(()));
    assert_eq!((tested.state(), tested.result()), (SlotState::Good, Some(SlotState::Good)));
    assert_eq!(tested.confirm(DOWN, end), Ok(()), "it is good");
    let mut late = slot(SlotState::Testing, true);
    assert_eq!((late.look(None, s(1)), late.look(None, s(61))), (None, None));
    assert_eq!(late.look(None, end), Some(SlotEvent::Fails(Missing::Administrator, s(0))));
}

#[test]
fn system_without_slots_has_no_test() {
    let mut none = slot(SlotState::None, false);
    assert_eq!((none.look(DOWN, s(1)), none.look(None, s(1000)), none.result()), (None, None, None));
    assert_eq!(none.confirm(None, s(1000)), Err(Missing::Slots));
}

#[derive(Clone, Copy, Debug)]
enum Input {
    Look { is_down: bool },
    Confirm { is_down: bool },
    Settle(u64),
    Advance(u64),
    AdvanceToDeadline,
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        6 => any::<bool>().prop_map(|is_down| Input::Look { is_down }),
        1 => any::<bool>().prop_map(|is_down| Input::Confirm { is_down }),
        1 => (0..200_u64).prop_map(Input::Settle),
        4 => (0..100_u64).prop_map(Input::Advance),
        4 => Just(Input::AdvanceToDeadline),
    ]
}

proptest! {
    #[test]
    fn test_of_a_slot_is_bounded_and_its_result_stays(
        needs_administrator: bool,
        inputs in prop::collection::vec(input(), 1..200),
    ) {
        let mut tested = slot(SlotState::Testing, needs_administrator);
        let (mut now, mut begun, mut up_since, mut warnings) = (s(0), None, None, 0);
        for input in inputs {
            let before = tested.state();
            let fault = |is_down: bool| if is_down { DOWN } else { None };
            match input {
                Input::Look { is_down } => {
                    up_since = if is_down { None } else { up_since.or(Some(now)) };
                    let event = tested.look(fault(is_down), now);
                    warnings += u32::from(matches!(event, Some(SlotEvent::Fails(_, time)) if !time.is_zero()));
                    // Whatever happens, it ends.
                    let end = *begun.get_or_insert(now) + 2 * s(200) + GOOD_TIME + CONFIRM_TIME;
                    prop_assert!(now < end || tested.state() != SlotState::Testing);
                }
                Input::Confirm { is_down } => {
                    let is_good = tested.confirm(fault(is_down), now).is_ok();
                    prop_assert_eq!(is_good, tested.state() == SlotState::Good);
                }
                Input::Settle(seconds) => tested.update.settle = s(seconds),
                Input::Advance(seconds) => now += s(seconds),
                Input::AdvanceToDeadline => now = now.max(tested.poll_timeout().unwrap_or(now)),
            }
            if before == SlotState::Testing && tested.state() == SlotState::Good {
                let steady = up_since.map_or(s(0), |since| now - since);
                prop_assert!(steady >= tested.update.settle, "{steady:?}");
            }
            prop_assert!(before == SlotState::Testing || tested.state() == before, "it stays");
            if tested.state() != SlotState::Testing {
                prop_assert_eq!(tested.poll_timeout(), None);
            }
        }
        prop_assert!(warnings <= 2);
    }
}
