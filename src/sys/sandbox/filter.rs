//! Filter of system calls: a program of the kernel's packet filter (seccomp(2)), made of the table of calls.

use core::mem::offset_of;

use super::calls::{ALLOWED, Condition, NO, PROCESSOR, Rule, rules};

/// Instruction, with the layout of `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Instruction {
    pub(super) code: u16,
    /// Instructions that are skipped if a comparison holds, or does not.
    pub(super) if_true: u8,
    pub(super) if_false: u8,
    pub(super) operand: u32,
}

/// Input of a filter, with the layout of `struct seccomp_data`.
#[repr(C)]
pub(super) struct Call {
    pub(super) number: u32,
    pub(super) processor: u32,
    pub(super) instruction: u64,
    pub(super) arguments: [u64; 6],
}

/// Codes of instructions.
pub(super) const LOAD: u16 = 0x20;
pub(super) const IF_EQUAL: u16 = 0x15;
pub(super) const IF_ANY_BIT: u16 = 0x45;
pub(super) const RETURN: u16 = 0x06;

/// Decisions: `SECCOMP_RET_ALLOW`, `SECCOMP_RET_TRAP`, and `SECCOMP_RET_ERRNO` with `ENOSYS`.
pub(super) const ALLOW: u32 = 0x7fff_0000;
pub(super) const TRAP: u32 = 0x0003_0000;
pub(super) const MISSING: u32 = 0x0005_0000 | libc::ENOSYS as u32;

/// Returns the filter for this process; `None` on a processor without a column in the table.
pub(super) fn program(process: u32) -> Option<Vec<Instruction>> {
    let (_, processor) = PROCESSOR?;
    let mut program = Vec::new();
    let mut add = |code, operand, if_true, if_false| {
        program.push(Instruction { code, if_true, if_false, operand });
    };
    // A call of another processor's ABI has another number.
    add(LOAD, offset_of!(Call, processor) as u32, 0, 0);
    add(IF_EQUAL, processor, 1, 0);
    add(RETURN, TRAP, 0, 0);
    add(LOAD, offset_of!(Call, number) as u32, 0, 0);
    for number in ALLOWED.iter().filter(|number| **number != NO) {
        add(IF_EQUAL, (*number).into(), 0, 1);
        add(RETURN, ALLOW, 0, 0);
    }
    for Rule { number, argument, condition } in rules(&[process]).into_iter().filter(|rule| rule.number != NO)
    {
        let count = match condition {
            Condition::OneOf(values) => values.len() as u8,
            _ => 1,
        };
        let address = offset_of!(Call, arguments) + argument * size_of::<u64>();
        let address = address + if cfg!(target_endian = "big") { size_of::<u32>() } else { 0 };
        // The argument, a comparison with each value, and two decisions: none of them is for another call.
        add(IF_EQUAL, number.into(), 0, count + 3);
        add(LOAD, address as u32, 0, 0);
        let (is, is_not) = match condition {
            Condition::OneOf(values) => {
                for (index, value) in values.iter().enumerate() {
                    add(IF_EQUAL, *value, count - index as u8, 0);
                }
                (ALLOW, TRAP)
            }
            Condition::Has(bits) => {
                add(IF_ANY_BIT, bits, 1, 0);
                (ALLOW, TRAP)
            }
            Condition::HasNot(bits) => {
                add(IF_ANY_BIT, bits, 1, 0);
                (TRAP, ALLOW)
            }
            Condition::Missing => {
                add(IF_ANY_BIT, 0, 1, 0);
                (MISSING, MISSING)
            }
        };
        add(RETURN, is_not, 0, 0);
        add(RETURN, is, 0, 0);
    }
    add(RETURN, TRAP, 0, 0);
    Some(program)
}
