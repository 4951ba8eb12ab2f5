//! Fixed table of services.

use core::fmt;

use heapless::Vec;

use super::{
    AllConditions, Arguments, CONDITIONS, CapacityError, Check, CheckId, Conditions, Name, Program,
    ServiceId, Spec, is_service_name,
};
use crate::limits::{CHECKS, SERVICES};
use crate::{internal_error, stable_index};

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
    /// The services have more than [`CONDITIONS`] different conditions.
    Conditions,
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
            Self::Conditions => write!(f, "more than {CONDITIONS} different conditions of all services"),
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

/// Services and health checks of the configuration file, filled once at start.
///
/// Each specification is boxed. It has some kilobytes, so only existing services use memory, and a
/// table is cheap to move.
#[derive(Clone, Debug, Default)]
pub struct ServiceTable {
    /// By [`ServiceId`]; a reload leaves gaps.
    specs: Vec<Option<Box<Spec>>, SERVICES>,
    checks: Vec<Box<Check>, CHECKS>,
    conditions: AllConditions,
}

impl ServiceTable {
    /// Table without services.
    pub const fn new() -> Self {
        Self { specs: Vec::new(), checks: Vec::new(), conditions: AllConditions::new() }
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
        for condition in spec.wait.iter().chain(spec.needs.iter()) {
            if !self.conditions.iter().any(|known| known == condition) {
                self.conditions.push(condition).map_err(|_| TableError::Conditions)?;
            }
        }
        self.specs.push(Some(Box::new(spec))).map_err(|_| TableError::Full)?;
        Ok(id)
    }

    /// Different conditions of all services.
    pub fn conditions(&self) -> &AllConditions {
        &self.conditions
    }

    /// Mask of these conditions, by their indexes in [`conditions`](Self::conditions).
    pub(super) fn condition_mask(&self, conditions: &Conditions) -> u8 {
        let is_one = |text| conditions.iter().any(|condition| condition == text);
        self.conditions.iter().enumerate().map(|(index, text)| u8::from(is_one(text)) << index).sum()
    }

    /// Returns the service with this name.
    pub fn find(&self, name: &str) -> Option<ServiceId> {
        self.iter().find(|(_, spec)| spec.name == name).map(|(id, _)| id)
    }

    /// Returns the specification of a service; `None` for an id of another table.
    pub fn get(&self, id: ServiceId) -> Option<&Spec> {
        self.specs.get(id.index())?.as_deref()
    }

    /// All services in insertion order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (ServiceId, &Spec)> {
        self.specs
            .iter()
            .enumerate()
            .filter_map(|(index, spec)| Some((ServiceId::from_index(index)?, spec.as_deref()?)))
    }

    /// Adds a health check.
    ///
    /// # Errors
    /// [`CapacityError`] when there are `limits::CHECKS` already.
    pub fn push_check(&mut self, check: Check) -> Result<CheckId, CapacityError> {
        let id = CheckId::from_index(self.checks.len()).ok_or(CapacityError)?;
        self.checks.push(Box::new(check)).map_err(|_| CapacityError)?;
        Ok(id)
    }

    /// Returns a health check; `None` for an id of another table.
    pub fn check(&self, id: CheckId) -> Option<&Check> {
        self.checks.get(id.index()).map(|check| &**check)
    }

    /// All health checks in insertion order.
    pub fn checks(&self) -> impl Iterator<Item = (CheckId, &Check)> {
        self.checks
            .iter()
            .enumerate()
            .filter_map(|(index, check)| Some((CheckId::from_index(index)?, &**check)))
    }

    /// Returns a program of a service, if it has that: its own, or that of a check of it.
    pub fn program(&self, service: ServiceId, program: Program) -> Option<&Arguments> {
        match program {
            Program::Check(index) => {
                let check = self.check(CheckId::from_index(index.into())?)?;
                check.program().filter(|_| check.service == Some(service))
            }
            own => self.get(service)?.program(own),
        }
    }

    /// Number of services.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Memory of the arguments, variables and conditions of all services and checks, in addition to that of their specifications.
    pub fn string_bytes(&self) -> usize {
        let of_service = |spec: &Spec| {
            let programs = Program::all().filter_map(|program| spec.program(program));
            let conditions = spec.wait.bytes() + spec.needs.bytes();
            spec.env.bytes() + conditions + programs.map(Arguments::bytes).sum::<usize>()
        };
        let services = self.iter().map(|(_, spec)| of_service(spec));
        let checks = self.checks().filter_map(|(_, check)| check.program()).map(Arguments::bytes);
        self.conditions.bytes() + services.chain(checks).sum::<usize>()
    }

    /// The services and checks of a later configuration file, where a service of the same name has the same id.
    #[must_use]
    pub fn succeed(&self, later: Self) -> Self {
        let Self { specs, mut checks, conditions } = later;
        let kept = specs.iter().map(|spec| self.find(&spec.as_ref()?.name).map(ServiceId::index));
        let indexes: Vec<usize, SERVICES> = stable_index::assign(kept);
        let mut merged: [Option<Box<Spec>>; SERVICES] = [const { None }; SERVICES];
        for (spec, index) in specs.into_iter().zip(&indexes) {
            merged[*index] = spec;
        }
        for check in &mut checks {
            let index = check.service.and_then(|service| indexes.get(service.index()));
            check.service = index.and_then(|index| ServiceId::from_index(*index));
        }
        // A check of the same name stays where it is: its state does.
        for index in 0..checks.len() {
            let known = self.checks.get(index).map(|check| (&check.name, check.service));
            let place = checks.iter().position(|check| Some((&check.name, check.service)) == known);
            if let Some(place) = place {
                checks.swap(index, place);
            }
        }
        Self { specs: merged.into_iter().collect(), checks, conditions }
    }

    /// Returns true if both tables have a service with this id and the same name.
    pub(super) fn has_same_name(&self, other: &Self, service: ServiceId) -> bool {
        let services = self.get(service).zip(other.get(service));
        services.is_some_and(|(before, after)| before.name == after.name)
    }

    /// Returns true if a service and its checks are the same in both tables.
    pub(super) fn has_same(&self, other: &Self, service: ServiceId) -> bool {
        let of = |(_, check): &(CheckId, &Check)| check.service == Some(service);
        let checks = self.checks().filter(of).map(|(_, check)| check);
        self.get(service) == other.get(service)
            && checks.eq(other.checks().filter(of).map(|(_, check)| check))
    }

    /// Returns true without services.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the services in topological order: each after its dependencies, otherwise in table
    /// order. Quadratic in their number, so for start-up only.
    ///
    /// # Errors
    /// See [`OrderError`].
    pub fn start_order(&self) -> Result<Vec<ServiceId, SERVICES>, OrderError> {
        let mut waits = [0_u64; SERVICES];
        for (id, _) in self.iter() {
            waits[id.index()] = self.after_mask(id)?;
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
    use super::super::{CheckKind, Endpoint};
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
    fn checks_up_to_the_limit() {
        let mut table = table(&[("a", &[])]);
        let service = table.find("a");
        let argv = Arguments::new;
        for index in 0..CHECKS {
            let check = Check { service, ..Check::new("web", CheckKind::Command(argv())) };
            let id = table.push_check(check.clone()).unwrap();
            assert_eq!((id.index(), table.check(id)), (index, Some(&check)));
        }
        let more = Check::new("more", CheckKind::Command(argv()));
        assert_eq!(table.push_check(more), Err(CapacityError));
        assert_eq!((table.checks().count(), CheckId::from_index(CHECKS)), (CHECKS, None));
    }

    #[test]
    fn program_of_a_check_runs_for_its_service_alone() {
        let mut table = table(&[("a", &[]), ("b", &[])]);
        let (service, other) = (table.find("a").unwrap(), table.find("b").unwrap());
        let mut argv = Arguments::new();
        argv.push("/bin/test").unwrap();
        for kind in [CheckKind::Command(argv.clone()), CheckKind::Connect(Endpoint::tcp("[::1]:80").unwrap())]
        {
            table.push_check(Check { service: Some(service), ..Check::new("web", kind) }).unwrap();
        }
        assert_eq!(table.program(service, Program::Check(0)), Some(&argv));
        for (id, program) in
            [(other, Program::Check(0)), (service, Program::Check(1)), (service, Program::Check(2))]
        {
            assert_eq!(table.program(id, program), None, "{id:?} {program:?}");
        }
        assert_eq!(table.program(other, Program::Main), table.get(other).map(|spec| &spec.argv));
    }

    #[test]
    fn invalid_services_are_refused() {
        let mut table = table(&[("a", &[])]);
        let push = |table: &mut ServiceTable, name, argv: &[&str]| table.push(Spec::new(name, argv).unwrap());
        assert_eq!(push(&mut table, "a", &["true"]), Err(TableError::Duplicate));
        assert_eq!(push(&mut table, "", &["true"]), Err(TableError::BadName));
        assert_eq!(push(&mut table, "b", &[]), Err(TableError::NoProgram));
        assert_eq!(push(&mut table, "b", &[""]), Err(TableError::NoProgram));
        assert_eq!(TableError::NoProgram.to_string(), "a service needs a program to run");
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn services_of_a_later_table_keep_their_ids() {
        let names = |table: &ServiceTable| {
            let names = table.iter().map(|(id, spec)| format!("{} {}", id.index(), spec.name));
            names.collect::<std::vec::Vec<String>>().join(", ")
        };
        let mut before = table(&[("a", &[]), ("b", &[]), ("c", &[])]);
        for (later, expected) in [
            (&["c", "d", "a", "e"][..], "0 a, 1 d, 2 c, 3 e"),
            (&["e"], "3 e"),
            (&["x", "y", "e", "z"], "0 x, 1 y, 2 z, 3 e"),
            (&[], ""),
        ] {
            let services: std::vec::Vec<(&str, &[&str])> =
                later.iter().map(|name| (*name, &[][..])).collect();
            before = before.succeed(table(&services));
            assert_eq!((names(&before).as_str(), before.len()), (expected, later.len()));
            assert_eq!(before.start_order().unwrap().len(), later.len());
        }
        let most: std::vec::Vec<String> = (0..SERVICES).map(|n| format!("s{n}")).collect();
        let full = |names: &mut dyn Iterator<Item = &String>| {
            let mut table = ServiceTable::new();
            names.for_each(|name| assert!(table.push(Spec::new(name, &["true"]).unwrap()).is_ok()));
            table
        };
        let reversed = full(&mut most.iter()).succeed(full(&mut most.iter().rev()));
        assert_eq!(names(&reversed), names(&full(&mut most.iter())));
    }

    #[test]
    fn check_of_a_later_table_has_the_new_id_of_its_service() {
        let mut later = table(&[("new", &[]), ("web", &[])]);
        let service = later.find("web");
        let kind = CheckKind::Connect(Endpoint::Tcp("127.0.0.1:80".parse().unwrap()));
        later.push_check(Check { service, ..Check::new("web", kind) }).unwrap();
        let merged = table(&[("web", &[])]).succeed(later.clone());
        assert_eq!(merged.checks().next().unwrap().1.service, merged.find("web"));
        assert!(
            merged.find("web").unwrap().index() == 0 && merged.has_same(&merged, merged.find("web").unwrap())
        );
        assert!(
            !merged.has_same(&table(&[("web", &[])]), merged.find("web").unwrap()),
            "its check is another one"
        );
    }

    #[test]
    fn check_of_the_same_name_keeps_its_place() {
        let with_checks = |names: &[&str]| {
            let mut table = table(&[("web", &[])]);
            for name in names {
                let check = Check::new(name, CheckKind::Connect(Endpoint::tcp("[::1]:80").unwrap()));
                table.push_check(check).unwrap();
            }
            table
        };
        for (later, expected) in [
            (&["c", "b", "a"][..], &["a", "b", "c"][..]),
            (&["new", "b", "a"], &["a", "b", "new"]),
            (&["b", "new"], &["new", "b"]),
            (&["c"], &["c"]),
        ] {
            let merged = with_checks(&["a", "b", "c"]).succeed(with_checks(later));
            assert!(merged.checks().map(|(_, check)| &*check.name).eq(expected.iter().copied()), "{later:?}");
        }
    }

    #[test]
    fn memory_of_the_strings_is_that_of_all_services_and_checks() {
        let array = |texts: &[&str]| {
            let mut array = Arguments::new();
            texts.iter().for_each(|text| array.push(text).unwrap());
            array
        };
        let mut table = ServiceTable::new();
        let mut spec = Spec::new("web", &["/bin/web", "-d"]).unwrap();
        spec.finish = array(&["/bin/finish"]);
        spec.env.push("PORT=80").unwrap();
        spec.wait.push("path:/a").unwrap();
        spec.needs.push("path:/bc").unwrap();
        let conditions = spec.wait.bytes() + spec.needs.bytes();
        let of_web = spec.argv.bytes() + spec.finish.bytes() + spec.env.bytes() + conditions;
        table.push(spec).unwrap();
        table.push(Spec::new("other", &["true"]).unwrap()).unwrap();
        let program = array(&["/bin/test", "web"]);
        let of_check = program.bytes();
        table.push_check(Check::new("web", CheckKind::Command(program))).unwrap();
        let of_other = array(&["true"]).bytes();
        let all = of_web + of_other + of_check + table.conditions().bytes();
        assert_eq!((table.string_bytes(), table.conditions().len()), (all, 2));
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
