//! Fixed table of users and the services each may control.

use core::fmt;

use heapless::{String, Vec};

use super::PasswordHash;
use crate::limits::{SERVICE_NAME_BYTES, USER_FULL_NAME_BYTES, USER_NAME_BYTES, USER_SERVICES, USERS};
use crate::stable_index;

/// Privilege level of a user. Friend Core has the first two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UserLevel {
    /// Administrator: may make every call.
    Admin,
    /// May control the granted services.
    User,
    /// May see the granted services, and changes nothing.
    Viewer,
}

impl UserLevel {
    /// Returns the level with this name in the configuration file.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "admin" => Some(Self::Admin),
            "user" => Some(Self::User),
            "viewer" => Some(Self::Viewer),
            _ => None,
        }
    }

    /// Name in the configuration file and in the reply to a login.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::User => "user",
            Self::Viewer => "viewer",
        }
    }
}

/// Services that a user may see or control.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Grants {
    all: bool,
    names: Vec<String<SERVICE_NAME_BYTES>, USER_SERVICES>,
}

/// Reason why a service cannot be granted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GrantsError {
    /// [`USER_SERVICES`] services are already granted.
    Full,
    /// The name is longer than [`SERVICE_NAME_BYTES`].
    NameTooLong,
}

impl Grants {
    /// Grant of every service: `"*"`.
    pub fn all() -> Self {
        Self { all: true, names: Vec::new() }
    }

    /// Grants a service; `"*"` grants every service.
    pub fn push(&mut self, service: &str) -> Result<(), GrantsError> {
        if service == "*" {
            self.all = true;
            return Ok(());
        }
        let name = String::try_from(service).map_err(|_| GrantsError::NameTooLong)?;
        if self.names.contains(&name) {
            return Ok(());
        }
        self.names.push(name).map_err(|_| GrantsError::Full)
    }

    /// Returns true if this service is granted.
    pub fn permits(&self, service: &str) -> bool {
        self.all || self.names.iter().any(|name| name == service)
    }

    /// Returns true if every service is granted.
    pub fn is_all(&self) -> bool {
        self.all
    }

    /// Services granted by name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// Index of a user in [`Users`]. A user of the same name keeps it over a reload. The last two
/// numbers are administrators without a table: they have neither password nor session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UserId(u8);

impl UserId {
    /// root, at the local socket.
    pub const LOCAL_ROOT: Self = Self(u8::MAX);
    /// The user that runs the server, at the local socket.
    pub const LOCAL_OWNER: Self = Self(u8::MAX - 1);

    pub(super) fn is_local(self) -> bool {
        self.0 >= Self::LOCAL_OWNER.0
    }

    /// Index from 0, at the start in the order of the configuration file. Friend Core's `userid` counts from 1.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// User of the configuration file.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Login name; see [`is_user_name`].
    pub name: String<USER_NAME_BYTES>,
    /// Display name, part of the reply to a login.
    pub full_name: String<USER_FULL_NAME_BYTES>,
    /// Privilege level.
    pub level: UserLevel,
    /// Password of the configuration file; [`Users::password`] returns the one in force. A user without
    /// a password can only use a token.
    pub password: Option<PasswordHash>,
    /// Services of a user who is not an administrator.
    pub services: Grants,
}

impl User {
    /// Place of a user that a reload has removed: no name is empty.
    const REMOVED: Self = Self {
        name: String::new(),
        full_name: String::new(),
        level: UserLevel::User,
        password: None,
        services: Grants { all: false, names: Vec::new() },
    };

    fn is_removed(&self) -> bool {
        self.name.is_empty()
    }
}

/// Returns true for a valid user name: 1 to [`USER_NAME_BYTES`] ASCII letters, digits and `.`, `_`,
/// `-`, `@`.
pub fn is_user_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= USER_NAME_BYTES
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b))
}

/// Reason why a user cannot be added.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UsersError {
    /// The table already has a user with this name.
    Duplicate,
    /// The table already has [`USERS`] users.
    Full,
}

impl fmt::Display for UsersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate => f.write_str("this user is there already"),
            Self::Full => write!(f, "more than {USERS} users"),
        }
    }
}

/// Password that overrides that of the configuration file.
#[derive(Clone, Debug, PartialEq)]
pub enum ChangedPassword {
    /// Changed by a call.
    To(PasswordHash),
    /// Lost with a damaged file: no password logs this user in.
    Lost,
}

/// Users in the order of the configuration file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Users {
    /// Boxed like every large table: start-up moves it several times, and each move would need stack.
    users: Box<Vec<User, USERS>>,
    /// Changed passwords, an entry for each user. They override the configuration file.
    changed: Vec<Option<ChangedPassword>, USERS>,
    /// Name of [`UserId::LOCAL_OWNER`].
    owner: String<LOCAL_NAME_BYTES>,
}

/// Longest name of a local administrator: a user's, and [`LOCAL`].
const LOCAL_NAME_BYTES: usize = USER_NAME_BYTES + LOCAL.len();
/// End of the name of a local administrator, which no user of the configuration file can have.
const LOCAL: &str = " (local)";

impl Users {
    /// Memory of the table, allocated at once.
    pub const BYTES: usize = size_of::<Self>() + size_of::<Vec<User, USERS>>();

    /// Table without users.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a user.
    pub fn push(&mut self, user: User) -> Result<UserId, UsersError> {
        if self.find(&user.name).is_some() {
            return Err(UsersError::Duplicate);
        }
        // `users` of a board is at most 254.
        let id = u8::try_from(self.users.len()).map_err(|_| UsersError::Full)?;
        // Both have one entry for each user, so both are full at once.
        self.changed.push(None).map_err(|_| UsersError::Full)?;
        self.users.push(user).map_err(|_| UsersError::Full)?;
        Ok(UserId(id))
    }

    /// Sets the name of the user that runs the server.
    pub fn set_owner(&mut self, name: &str) {
        self.owner.clear();
        let is_set = self.owner.push_str(name).and_then(|()| self.owner.push_str(LOCAL));
        debug_assert!(is_set.is_ok(), "{name} is longer than the name of a user");
    }

    /// Name of a user, for the log.
    pub fn name(&self, id: UserId) -> &str {
        match id {
            UserId::LOCAL_ROOT => "root (local)",
            UserId::LOCAL_OWNER => &self.owner,
            id => self.get(id).map_or("?", |user| &user.name),
        }
    }

    /// Returns the user with this name.
    pub fn find(&self, name: &str) -> Option<UserId> {
        self.iter().find(|(_, user)| user.name == name).map(|(id, _)| id)
    }

    /// Returns the user with this id.
    pub fn get(&self, id: UserId) -> Option<&User> {
        self.users.get(id.index()).filter(|user| !user.is_removed())
    }

    /// Password in force: the changed one, else that of the configuration file.
    pub fn password(&self, id: UserId) -> Option<&PasswordHash> {
        match self.changed_password(id) {
            Some(ChangedPassword::To(hash)) => Some(hash),
            Some(ChangedPassword::Lost) => None,
            None => self.get(id)?.password.as_ref(),
        }
    }

    /// Changed password, which overrides the configuration file.
    pub fn changed_password(&self, id: UserId) -> Option<&ChangedPassword> {
        self.changed.get(id.index())?.as_ref()
    }

    /// Sets the changed password; `None` restores that of the configuration file.
    pub fn set_password(&mut self, id: UserId, password: Option<ChangedPassword>) {
        if let Some(changed) = self.changed.get_mut(id.index()) {
            *changed = password;
        }
    }

    /// Returns true if this user is an administrator.
    pub fn is_admin(&self, id: UserId) -> bool {
        id.is_local() || self.get(id).is_some_and(|user| user.level == UserLevel::Admin)
    }

    /// Users with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (UserId, &User)> {
        (0..=u8::MAX).map(UserId).zip(self.users.iter()).filter(|(_, user)| !user.is_removed())
    }

    /// Number of users.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Returns true without users.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts the users of a later configuration file in place of these. Returns the new id of each of them, by its
    /// index in `later`.
    pub fn replace(&mut self, later: Self) -> Vec<UserId, USERS> {
        let kept = later.users.iter().map(|user| self.find(&user.name).map(UserId::index));
        let indexes: Vec<usize, USERS> = stable_index::assign(kept);
        self.users.clear();
        self.changed.clear();
        let len = indexes.iter().max().map_or(0, |last| last + 1);
        // An index is less than the capacity.
        let _ = self.users.resize(len, User::REMOVED);
        let _ = self.changed.resize(len, None);
        for ((user, changed), index) in later.users.into_iter().zip(later.changed).zip(&indexes) {
            (self.users[*index], self.changed[*index]) = (user, changed);
        }
        indexes.into_iter().map(|index| UserId(index as u8)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, level: UserLevel) -> User {
        User {
            name: String::try_from(name).unwrap(),
            full_name: String::new(),
            level,
            password: None,
            services: Grants::default(),
        }
    }

    #[test]
    fn errors_have_their_reasons() {
        assert_eq!(UsersError::Duplicate.to_string(), "this user is there already");
        assert_eq!(UsersError::Full.to_string(), format!("more than {USERS} users"));
    }

    #[test]
    fn memory_of_the_table_is_that_of_its_users() {
        let mut users = Users::new();
        assert!(users.is_empty());
        users.push(user("anna", UserLevel::User)).unwrap();
        assert!(!users.is_empty());
        assert_eq!(Users::BYTES, size_of_val(&users) + size_of_val(&*users.users));
    }

    #[test]
    fn users_are_found_by_name_and_id() {
        let mut users = Users::new();
        let anna = users.push(user("anna", UserLevel::Admin)).unwrap();
        let ben = users.push(user("ben", UserLevel::User)).unwrap();
        assert_eq!(users.find("anna"), Some(anna));
        assert_eq!(users.find("ben"), Some(ben));
        assert_eq!(users.find("Ben"), None);
        assert_eq!(users.find(""), None);
        assert_eq!(users.get(ben).map(|user| user.name.as_str()), Some("ben"));
        assert!(users.is_admin(anna) && !users.is_admin(ben));
        assert_eq!((anna.index(), ben.index()), (0, 1));
    }

    #[test]
    fn changed_password_overrides_until_it_is_reset() {
        let mut users = Users::new();
        let hash = |salt| Some(PasswordHash::new(1, [salt; 16], [0; 32]).unwrap());
        let anna = users.push(User { password: hash(1), ..user("anna", UserLevel::Admin) }).unwrap();
        let ben = users.push(user("ben", UserLevel::User)).unwrap();
        assert_eq!((users.password(anna), users.password(ben)), (hash(1).as_ref(), None));
        let changed = |salt| hash(salt).map(ChangedPassword::To);
        users.set_password(anna, changed(2));
        users.set_password(ben, changed(3));
        users.set_password(UserId(9), changed(4));
        assert_eq!((users.password(anna), users.password(ben)), (hash(2).as_ref(), hash(3).as_ref()));
        assert_eq!(users.get(anna).unwrap().password, hash(1));
        users.set_password(anna, Some(ChangedPassword::Lost));
        assert_eq!(
            (users.password(anna), users.changed_password(anna)),
            (None, Some(&ChangedPassword::Lost))
        );
        users.set_password(anna, None);
        assert_eq!((users.password(anna), users.changed_password(anna)), (hash(1).as_ref(), None));
    }

    #[test]
    fn local_administrators_have_names_of_their_own_and_no_password() {
        let mut users = Users::new();
        users.push(user("root", UserLevel::User)).unwrap();
        users.set_owner(&"o".repeat(USER_NAME_BYTES));
        for (id, name) in [
            (UserId::LOCAL_ROOT, "root (local)".to_owned()),
            (UserId::LOCAL_OWNER, "o".repeat(USER_NAME_BYTES) + " (local)"),
        ] {
            assert_eq!(users.name(id), name);
            assert!(users.is_admin(id) && users.rights(id).may_see("hello"));
            assert!(users.find(&name).is_none() && !is_user_name(&name));
            users.set_password(id, PasswordHash::new(1, [0; 16], [0; 32]).ok().map(ChangedPassword::To));
            assert_eq!(users.password(id), None);
        }
    }

    #[test]
    fn users_of_a_later_file_keep_their_ids() {
        let table = |names: &[&str]| {
            let mut users = Users::new();
            for name in names {
                users.push(user(name, UserLevel::User)).unwrap();
            }
            users
        };
        let mut users = table(&["anna", "ben", "eve"]);
        users.set_owner("o");
        let (anna, ben, eve) = (UserId(0), UserId(1), UserId(2));
        users.set_password(ben, Some(ChangedPassword::Lost));
        assert_eq!(users.replace(table(&["dora", "eve", "fred"])), [anna, eve, ben]);
        assert_eq!(
            (users.find("eve"), users.find("fred"), users.find("dora")),
            (Some(eve), Some(ben), Some(anna))
        );
        assert_eq!((users.find("ben"), users.changed_password(ben), users.len()), (None, None, 3));
        assert_eq!(users.replace(table(&["fred"])), [ben]);
        assert_eq!((users.len(), users.get(anna), users.get(eve)), (1, None, None));
        assert!(users.find("").is_none() && !users.rights(eve).may_see("x"));
        assert_eq!(users.name(UserId::LOCAL_OWNER), "o (local)");
        let most: std::vec::Vec<String<USER_NAME_BYTES>> =
            (0..USERS).map(|n| String::try_from(format!("u{n}").as_str()).unwrap()).collect();
        let most: std::vec::Vec<&str> = most.iter().map(String::as_str).collect();
        assert_eq!(users.replace(table(&most)).len(), USERS);
        assert_eq!(users.len(), USERS);
        assert!(users.replace(Users::new()).is_empty());
        assert_eq!(users.push(user("admin", UserLevel::Admin)), Ok(anna), "all places are free again");
    }

    #[test]
    fn second_user_of_a_name_is_refused() {
        let mut users = Users::new();
        users.push(user("anna", UserLevel::Admin)).unwrap();
        assert_eq!(users.push(user("anna", UserLevel::User)), Err(UsersError::Duplicate));
        assert_eq!(users.len(), 1);
    }

    #[test]
    fn users_up_to_the_limit() {
        let mut users = Users::new();
        for n in 0..USERS {
            users.push(user(&format!("u{n}"), UserLevel::User)).unwrap();
        }
        assert_eq!(users.push(user("more", UserLevel::User)), Err(UsersError::Full));
        assert_eq!(users.len(), USERS);
    }

    #[test]
    fn user_controls_what_is_granted() {
        let mut users = Users::new();
        let admin = users.push(user("anna", UserLevel::Admin)).unwrap();
        let mut plain = user("ben", UserLevel::User);
        plain.services.push("hello").unwrap();
        let ben = users.push(plain).unwrap();
        let mut every = user("eve", UserLevel::User);
        every.services.push("*").unwrap();
        let eve = users.push(every).unwrap();

        assert!(users.rights(admin).may_see("anything"));
        assert!(users.rights(ben).may_see("hello"));
        assert!(!users.rights(ben).may_see("hello2"));
        assert!(!users.rights(ben).may_see("hell"));
        assert!(!users.rights(ben).may_see(""));
        assert!(users.rights(eve).may_see("anything"));
        assert!(!users.rights(UserId(9)).may_see("hello"));
    }

    #[test]
    fn grants_up_to_the_limit() {
        let mut grants = Grants::default();
        for n in 0..USER_SERVICES {
            grants.push(&format!("s{n}")).unwrap();
        }
        assert_eq!(grants.push("s0"), Ok(()));
        assert_eq!(grants.push("more"), Err(GrantsError::Full));
        assert_eq!(grants.names().count(), USER_SERVICES);
    }

    #[test]
    fn granted_name_up_to_the_length_of_a_service_name() {
        let mut grants = Grants::default();
        assert_eq!(grants.push(&"s".repeat(SERVICE_NAME_BYTES)), Ok(()));
        assert_eq!(grants.push(&"s".repeat(SERVICE_NAME_BYTES + 1)), Err(GrantsError::NameTooLong));
    }

    #[test]
    fn user_names() {
        assert!(is_user_name("anna"));
        assert!(is_user_name("a.b_c-d@example"));
        assert!(is_user_name(&"a".repeat(USER_NAME_BYTES)));
        assert!(!is_user_name(&"a".repeat(USER_NAME_BYTES + 1)));
        assert!(!is_user_name(""));
        assert!(!is_user_name("an na"));
        assert!(!is_user_name("änna"));
        assert!(!is_user_name("an\"na"));
    }

    #[test]
    fn levels_by_name() {
        for level in [UserLevel::Admin, UserLevel::User, UserLevel::Viewer] {
            assert_eq!(UserLevel::from_name(level.name()), Some(level));
        }
        assert_eq!(UserLevel::from_name("root"), None);
    }
}
