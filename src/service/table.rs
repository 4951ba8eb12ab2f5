//! Fixed table of services.

use core::fmt;

use heapless::Vec;

use super::{Arguments, Name, Program, Spec, is_service_name};
use crate::{internal_error, limits::SERVICES};

/// Index of a service in its table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServiceId(u8);

impl ServiceId {
    /// Returns the id with this index; `None` from `limits::SERVICES` on.
    pub fn from_index(index: usize) -> Option<Self> {
        u8::try_from(index).ok().filter(|_| index < SERVICES).map(Self)
    }

    /// Index, less than `limits::SERVICES`.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Reason why a service cannot be added to the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TableError {
    /// The table already holds `limits::SERVICES` services.
    Full,
    /// The table already holds a service with this name.
    Duplicate,
    /// The name is invalid; see [`is_service_name`].
    BadName,
    /// The service has no program.
    NoProgram,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(f, "more than {SERVICES} services"),
            Self::Duplicate => f.write_str("a service with this name already exists"),
            Self::BadName => f.write_str(
                "a service name consists of letters, digits, '-', '_', '.' and '@', \
                 and begins with a letter or digit",
            ),
            Self::NoProgram => f.write_str("a service needs a program to run"),
        }
    }
}

impl core::error::Error for TableError {}

/// Reason why the services have no start order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OrderError {
    /// A service depends on one that does not exist.
    Unknown {
        /// Service with the dependency.
        service: ServiceId,
        /// Name of the missing service.
        name: Name,
    },
    /// A service depends, directly or indirectly, on itself.
    Cycle {
        /// First service of the cycle.
        service: ServiceId,
    },
}

/// Services of the configuration file, filled once at start.
///
/// Each specification is boxed. It has some kilobytes, so only existing services use memory, and a
/// table is cheap to move.
#[derive(Clone, Debug, Default)]
pub struct ServiceTable {
    specs: Vec<Box<Spec>, SERVICES>,
}

impl ServiceTable {
    /// Table without services.
    pub const fn new() -> Self {
        Self { specs: Vec::new() }
    }

    /// Adds a service.
    ///
    /// # Errors
    /// See [`TableError`]; the table is unchanged.
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

    /// Returns the service with this name.
    pub fn find(&self, name: &str) -> Option<ServiceId> {
        self.iter().find(|(_, spec)| spec.name == name).map(|(id, _)| id)
    }

    /// Returns the specification of a service; `None` for an id of another table.
    pub fn get(&self, id: ServiceId) -> Option<&Spec> {
        self.specs.get(id.index()).map(|spec| &**spec)
    }

    /// All services in insertion order.
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

    /// Memory of the arguments and variables of all services, in addition to that of their specifications.
    pub fn string_bytes(&self) -> usize {
        let of_service = |spec: &Spec| {
            let programs = Program::all().filter_map(|program| spec.program(program));
            spec.env.bytes() + programs.map(Arguments::bytes).sum::<usize>()
        };
        self.iter().map(|(_, spec)| of_service(spec)).sum()
    }

    /// Returns true without services.
    pub fn is_empty(&self) -> bool {
        self.specs.is_empty()
    }

    /// Returns the services in topological order: each after its dependencies, otherwise in table
    /// order. Quadratic in their number, so for start-up only.
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
            // Each service is placed once, so the order is never longer than the table.
            if order.push(next).is_err() {
                internal_error!("the start order has no room");
                break;
            }
        }
        Ok(order)
    }

    /// Mask of the services that this one depends on.
    pub(super) fn after_mask(&self, service: ServiceId) -> Result<u64, OrderError> {
        let mut mask = 0;
        let names = self.get(service).map(|spec| spec.after.iter().chain(&spec.requires));
        for name in names.into_iter().flatten() {
            let other = self.find(name).ok_or_else(|| OrderError::Unknown { service, name: name.clone() })?;
            mask |= bit(other);
        }
        Ok(mask)
    }

    /// Mask of the services that this one requires.
    pub(super) fn required_mask(&self, service: ServiceId) -> u64 {
        let names = self.get(service).map_or(&[][..], |spec| &spec.requires);
        names.iter().filter_map(|name| self.find(name)).fold(0, |mask, other| mask | bit(other))
    }

    /// Returns the first service of a cycle. Following dependencies from any unplaced service, as
    /// often as there are services, ends inside a cycle.
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

/// Bit of a service in a mask; `limits` asserts that 64 are enough.
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
    fn services_up_to_the_limit() {
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
    fn invalid_services_are_refused() {
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
    fn order_is_stable_and_puts_dependencies_first() {
        assert_eq!(order(&[]), []);
        assert_eq!(order(&[("a", &[]), ("b", &[]), ("c", &[])]), [0, 1, 2]);
        assert_eq!(order(&[("a", &["c"]), ("b", &[]), ("c", &[])]), [1, 2, 0]);
        assert_eq!(order(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])]), [2, 1, 0]);
        assert_eq!(order(&[("a", &["b", "b"]), ("b", &[])]), [1, 0]);
    }

    #[test]
    fn unknown_dependencies_and_cycles_are_reported() {
        let a = ServiceId(0);
        let name = Name::try_from("x").unwrap();
        assert_eq!(table(&[("a", &["x"])]).start_order(), Err(OrderError::Unknown { service: a, name }));
        assert_eq!(table(&[("a", &["a"])]).start_order(), Err(OrderError::Cycle { service: a }));
        // "a" depends on the cycle but is not part of it.
        let ring = table(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]);
        assert_eq!(ring.start_order(), Err(OrderError::Cycle { service: ServiceId(1) }));
    }
}
