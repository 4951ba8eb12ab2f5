//! The fixed table of services.

use core::fmt;

use heapless::Vec;

use super::{Name, Spec, is_service_name};
use crate::limits::SERVICES;

/// Place of a service in its table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServiceId(u8);

impl ServiceId {
    /// The id of this place; `None` from `limits::SERVICES` on.
    pub fn from_index(index: usize) -> Option<Self> {
        u8::try_from(index).ok().filter(|_| index < SERVICES).map(Self)
    }

    /// The place: less than `limits::SERVICES`.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Why a service cannot join the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TableError {
    /// There are `limits::SERVICES` services already.
    Full,
    /// There is one of this name already.
    Duplicate,
    /// The name is not one: see [`is_service_name`].
    BadName,
    /// It has no program.
    NoProgram,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(f, "more than {SERVICES} services"),
            Self::Duplicate => f.write_str("a service of this name exists already"),
            Self::BadName => f.write_str(
                "a service's name is made of letters, digits, '-', '_', '.' and '@', \
                 and begins with a letter or digit",
            ),
            Self::NoProgram => f.write_str("a service needs a program to run"),
        }
    }
}

impl core::error::Error for TableError {}

/// Why the services have no order to be started in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OrderError {
    /// A service waits for one that does not exist.
    Unknown {
        /// Who waits.
        service: ServiceId,
        /// For whom.
        name: Name,
    },
    /// A service waits, directly or through others, for itself.
    Cycle {
        /// The first of those that wait for each other.
        service: ServiceId,
    },
}

/// The services, filled once at start.
///
/// Each is kept on the heap from then on: a specification takes some kilobytes, so that only those
/// that exist are paid for, and a table can be handed around.
#[derive(Clone, Debug, Default)]
pub struct ServiceTable {
    specs: Vec<Box<Spec>, SERVICES>,
}

impl ServiceTable {
    /// A table without services.
    pub const fn new() -> Self {
        Self { specs: Vec::new() }
    }

    /// Adds a service.
    ///
    /// # Errors
    /// See [`TableError`]; the table is then as it was.
    pub fn push(&mut self, spec: Spec) -> Result<ServiceId, TableError> {
        if !is_service_name(&spec.name) {
            return Err(TableError::BadName);
        }
        if spec.argv.first().is_none_or(str::is_empty) {
            return Err(TableError::NoProgram);
        }
        if self.find(&spec.name).is_some() {
            return Err(TableError::Duplicate);
        }
        let id = ServiceId::from_index(self.specs.len()).ok_or(TableError::Full)?;
        self.specs.push(Box::new(spec)).map_err(|_| TableError::Full)?;
        Ok(id)
    }

    /// The service of this name.
    pub fn find(&self, name: &str) -> Option<ServiceId> {
        self.iter().find(|(_, spec)| spec.name == name).map(|(id, _)| id)
    }

    /// What is known of a service; `None` for an id of another table.
    pub fn get(&self, id: ServiceId) -> Option<&Spec> {
        self.specs.get(id.index()).map(|spec| &**spec)
    }

    /// All services in the order in which they came.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (ServiceId, &Spec)> {
        self.specs
            .iter()
            .enumerate()
            .filter_map(|(index, spec)| Some((ServiceId::from_index(index)?, &**spec)))
    }

    /// Number of services.
    pub fn len(&self) -> usize {
        self.specs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.specs.is_empty()
    }

    /// The services in an order in which each comes behind those it waits for, and otherwise as
    /// they stand in the table. Takes time with the square of their number: for start-up.
    ///
    /// # Errors
    /// See [`OrderError`].
    pub fn start_order(&self) -> Result<Vec<ServiceId, SERVICES>, OrderError> {
        let mut waits = [0_u64; SERVICES];
        for ((id, _), wait) in self.iter().zip(&mut waits) {
            *wait = self.after_mask(id)?;
        }
        let mut order = Vec::new();
        let mut placed = 0_u64;
        while order.len() < self.len() {
            let next = self
                .iter()
                .map(|(id, _)| id)
                .find(|id| placed & bit(*id) == 0 && waits[id.index()] & !placed == 0);
            let Some(next) = next else {
                return Err(OrderError::Cycle { service: self.in_cycle(&waits, placed) });
            };
            placed |= bit(next);
            // As long as the table at most.
            let _ = order.push(next);
        }
        Ok(order)
    }

    /// One bit for each service that this one waits for.
    pub(super) fn after_mask(&self, service: ServiceId) -> Result<u64, OrderError> {
        let mut mask = 0;
        for name in self.get(service).map_or(&[][..], |spec| &spec.after) {
            let other = self.find(name).ok_or_else(|| OrderError::Unknown { service, name: name.clone() })?;
            mask |= bit(other);
        }
        Ok(mask)
    }

    /// A service that is itself part of a cycle: following, from any that cannot be placed, one
    /// that it waits for, as often as there are services, ends inside one.
    fn in_cycle(&self, waits: &[u64; SERVICES], placed: u64) -> ServiceId {
        let mut at = self.iter().map(|(id, _)| id).find(|id| placed & bit(*id) == 0).unwrap_or(ServiceId(0));
        let mut smallest = at;
        for step in 0..2 * SERVICES {
            let open = waits[at.index()] & !placed;
            at = ServiceId::from_index(open.trailing_zeros() as usize).unwrap_or(at);
            if step == SERVICES || (step > SERVICES && at < smallest) {
                smallest = at;
            }
        }
        smallest
    }
}

/// The service's bit in a mask; `limits` asserts that 64 are enough.
pub(super) fn bit(service: ServiceId) -> u64 {
    1 << service.index()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(services: &[(&str, &[&str])]) -> ServiceTable {
        let mut table = ServiceTable::new();
        for (name, after) in services {
            let mut spec = Spec::new(name, &["true"]).unwrap();
            for name in *after {
                spec.after.push(Name::try_from(*name).unwrap()).unwrap();
            }
            table.push(spec).unwrap();
        }
        table
    }

    fn order(services: &[(&str, &[&str])]) -> std::vec::Vec<usize> {
        table(services).start_order().unwrap().iter().map(|id| id.index()).collect()
    }

    #[test]
    fn holds_as_many_as_its_limit_says() {
        let mut table = ServiceTable::new();
        for index in 0..SERVICES {
            let id = table.push(Spec::new(&format!("s{index}"), &["true"]).unwrap()).unwrap();
            assert_eq!(id.index(), index);
        }
        assert_eq!(table.push(Spec::new("more", &["true"]).unwrap()), Err(TableError::Full));
        assert_eq!(table.len(), SERVICES);
        assert_eq!(ServiceId::from_index(SERVICES), None);
    }

    #[test]
    fn refuses_what_cannot_be_a_service() {
        let mut table = table(&[("a", &[])]);
        let push = |table: &mut ServiceTable, name, argv: &[&str]| table.push(Spec::new(name, argv).unwrap());
        assert_eq!(push(&mut table, "a", &["true"]), Err(TableError::Duplicate));
        assert_eq!(push(&mut table, "", &["true"]), Err(TableError::BadName));
        assert_eq!(push(&mut table, "b", &[]), Err(TableError::NoProgram));
        assert_eq!(push(&mut table, "b", &[""]), Err(TableError::NoProgram));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn finds_by_name() {
        let table = table(&[("a", &[]), ("b", &[])]);
        let b = table.find("b").unwrap();
        assert_eq!(table.get(b).unwrap().name, "b");
        assert!(table.find("c").is_none());
        assert!(table.get(ServiceId(7)).is_none());
    }

    #[test]
    fn order_is_stable_and_puts_what_is_waited_for_first() {
        assert_eq!(order(&[]), []);
        assert_eq!(order(&[("a", &[]), ("b", &[]), ("c", &[])]), [0, 1, 2]);
        assert_eq!(order(&[("a", &["c"]), ("b", &[]), ("c", &[])]), [1, 2, 0]);
        assert_eq!(order(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])]), [2, 1, 0]);
        assert_eq!(order(&[("a", &["b", "b"]), ("b", &[])]), [1, 0]);
    }

    #[test]
    fn unknown_and_cycles_are_told() {
        let a = ServiceId(0);
        let name = Name::try_from("x").unwrap();
        assert_eq!(table(&[("a", &["x"])]).start_order(), Err(OrderError::Unknown { service: a, name }));
        assert_eq!(table(&[("a", &["a"])]).start_order(), Err(OrderError::Cycle { service: a }));
        // "a" only waits for the cycle of the others.
        let ring = table(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]);
        assert_eq!(ring.start_order(), Err(OrderError::Cycle { service: ServiceId(1) }));
    }
}
