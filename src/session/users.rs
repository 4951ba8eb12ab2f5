//! The fixed table of users and what each may control.

use core::fmt;

use heapless::{String, Vec};

use super::PasswordHash;
use crate::limits::{SERVICE_NAME_BYTES, USER_FULL_NAME_BYTES, USER_NAME_BYTES, USER_SERVICES, USERS};

/// What a user is; Friend Core's words for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// May do everything.
    Admin,
    /// May control the services named for it.
    User,
}

impl Level {
    /// The level of this name in the device file.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "admin" => Some(Self::Admin),
            "user" => Some(Self::User),
            _ => None,
        }
    }

    /// Name in the device file and in the reply to a login.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::User => "user",
        }
    }
}

/// The services a user may control.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Grants {
    all: bool,
    names: Vec<String<SERVICE_NAME_BYTES>, USER_SERVICES>,
}

/// Why a service cannot be granted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GrantsError {
    /// [`USER_SERVICES`] are granted already.
    Full,
    /// Longer than [`SERVICE_NAME_BYTES`].
    NameTooLong,
}

impl Grants {
    /// Every service: `"*"`.
    pub fn all() -> Self {
        Self { all: true, names: Vec::new() }
    }

    /// Grants one more service; `"*"` grants every one.
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

    /// Whether this service is among them.
    pub fn permits(&self, service: &str) -> bool {
        self.all || self.names.iter().any(|name| name == service)
    }

    /// Whether every service is.
    pub fn is_all(&self) -> bool {
        self.all
    }

    /// The services granted by name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// Index of a user in [`Users`]; stable, as users are never removed while the server runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UserId(u8);

impl UserId {
    /// Number of the user, from 0 in the order of the device file. Friend Core's `userid` counts
    /// from 1.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One user of the device file.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Name to log in with; see [`is_user_name`].
    pub name: String<USER_NAME_BYTES>,
    /// Name for people; the reply to a login tells it.
    pub full_name: String<USER_FULL_NAME_BYTES>,
    /// What the user is.
    pub level: Level,
    /// As the device file has it; [`Users::password`] is the one in force. Without one nobody can log
    /// in as this user; a token still can.
    pub password: Option<PasswordHash>,
    /// What a [`Level::User`] may control.
    pub services: Grants,
}

/// Whether this can be the name of a user: 1 to [`USER_NAME_BYTES`] bytes of ASCII letters, digits
/// and `.`, `_`, `-`, `@`.
pub fn is_user_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= USER_NAME_BYTES
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b))
}

/// Why a user cannot be added.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UsersError {
    /// There is one of this name.
    Duplicate,
    /// [`USERS`] are there already.
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

/// All users, in the order of the device file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Users {
    /// Boxed, as all large tables are: the start hands them on several times, and each time would leave a
    /// copy on the stack.
    users: Box<Vec<User, USERS>>,
    /// Passwords that were changed since the device file was written, a place for each user.
    changed: Vec<Option<PasswordHash>, USERS>,
}

impl Users {
    /// Memory of the table, full or not.
    pub const BYTES: usize = size_of::<Self>() + size_of::<Vec<User, USERS>>();

    /// No users.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a user.
    pub fn push(&mut self, user: User) -> Result<UserId, UsersError> {
        if self.find(&user.name).is_some() {
            return Err(UsersError::Duplicate);
        }
        // A board's `users` is at most 255.
        let id = u8::try_from(self.users.len()).map_err(|_| UsersError::Full)?;
        self.users.push(user).map_err(|_| UsersError::Full)?;
        // As many as there are users.
        let _ = self.changed.push(None);
        Ok(UserId(id))
    }

    /// The user of this name.
    pub fn find(&self, name: &str) -> Option<UserId> {
        self.iter().find(|(_, user)| user.name == name).map(|(id, _)| id)
    }

    /// The user of this id.
    pub fn get(&self, id: UserId) -> Option<&User> {
        self.users.get(id.index())
    }

    /// The password with which this user logs in: the changed one, else that of the device file.
    pub fn password(&self, id: UserId) -> Option<&PasswordHash> {
        self.changed_password(id).or_else(|| self.get(id)?.password.as_ref())
    }

    /// The password that counts instead of the device file's.
    pub fn changed_password(&self, id: UserId) -> Option<&PasswordHash> {
        self.changed.get(id.index())?.as_ref()
    }

    /// Changes a password; `None`: the device file's counts again.
    pub fn set_password(&mut self, id: UserId, password: Option<PasswordHash>) {
        if let Some(changed) = self.changed.get_mut(id.index()) {
            *changed = password;
        }
    }

    /// Whether this user may start, stop and command this service: an administrator any, another the
    /// ones granted.
    pub fn may_control(&self, id: UserId, service: &str) -> bool {
        self.get(id).is_some_and(|user| user.level == Level::Admin || user.services.permits(service))
    }

    /// Whether this user is an administrator.
    pub fn is_admin(&self, id: UserId) -> bool {
        self.get(id).is_some_and(|user| user.level == Level::Admin)
    }

    /// All users with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (UserId, &User)> {
        (0..=u8::MAX).map(UserId).zip(self.users.iter())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, level: Level) -> User {
        User {
            name: String::try_from(name).unwrap(),
            full_name: String::new(),
            level,
            password: None,
            services: Grants::default(),
        }
    }

    #[test]
    fn users_are_found_by_name_and_id() {
        let mut users = Users::new();
        let anna = users.push(user("anna", Level::Admin)).unwrap();
        let ben = users.push(user("ben", Level::User)).unwrap();
        assert_eq!(users.find("anna"), Some(anna));
        assert_eq!(users.find("ben"), Some(ben));
        assert_eq!(users.find("Ben"), None);
        assert_eq!(users.find(""), None);
        assert_eq!(users.get(ben).map(|user| user.name.as_str()), Some("ben"));
        assert!(users.is_admin(anna) && !users.is_admin(ben));
        assert_eq!((anna.index(), ben.index()), (0, 1));
    }

    #[test]
    fn changed_password_counts_until_it_is_taken_back() {
        let mut users = Users::new();
        let hash = |salt| Some(PasswordHash::new(1, [salt; 16], [0; 32]).unwrap());
        let anna = users.push(User { password: hash(1), ..user("anna", Level::Admin) }).unwrap();
        let ben = users.push(user("ben", Level::User)).unwrap();
        assert_eq!((users.password(anna), users.password(ben)), (hash(1).as_ref(), None));
        users.set_password(anna, hash(2));
        users.set_password(ben, hash(3));
        users.set_password(UserId(9), hash(4));
        assert_eq!((users.password(anna), users.password(ben)), (hash(2).as_ref(), hash(3).as_ref()));
        assert_eq!(users.get(anna).unwrap().password, hash(1));
        users.set_password(anna, None);
        assert_eq!((users.password(anna), users.changed_password(anna)), (hash(1).as_ref(), None));
    }

    #[test]
    fn second_user_of_a_name_is_refused() {
        let mut users = Users::new();
        users.push(user("anna", Level::Admin)).unwrap();
        assert_eq!(users.push(user("anna", Level::User)), Err(UsersError::Duplicate));
        assert_eq!(users.len(), 1);
    }

    #[test]
    fn table_takes_its_limit_and_no_more() {
        let mut users = Users::new();
        for n in 0..USERS {
            users.push(user(&format!("u{n}"), Level::User)).unwrap();
        }
        assert_eq!(users.push(user("more", Level::User)), Err(UsersError::Full));
        assert_eq!(users.len(), USERS);
    }

    #[test]
    fn user_controls_what_is_granted() {
        let mut users = Users::new();
        let admin = users.push(user("anna", Level::Admin)).unwrap();
        let mut plain = user("ben", Level::User);
        plain.services.push("hello").unwrap();
        let ben = users.push(plain).unwrap();
        let mut every = user("eve", Level::User);
        every.services.push("*").unwrap();
        let eve = users.push(every).unwrap();

        assert!(users.may_control(admin, "anything"));
        assert!(users.may_control(ben, "hello"));
        assert!(!users.may_control(ben, "hello2"));
        assert!(!users.may_control(ben, "hell"));
        assert!(!users.may_control(ben, ""));
        assert!(users.may_control(eve, "anything"));
        assert!(!users.may_control(UserId(9), "hello"));
    }

    #[test]
    fn grants_take_their_limit_and_no_more() {
        let mut grants = Grants::default();
        for n in 0..USER_SERVICES {
            grants.push(&format!("s{n}")).unwrap();
        }
        assert_eq!(grants.push("s0"), Ok(()));
        assert_eq!(grants.push("more"), Err(GrantsError::Full));
        assert_eq!(grants.names().count(), USER_SERVICES);
    }

    #[test]
    fn granted_name_may_be_as_long_as_a_service_name() {
        let mut grants = Grants::default();
        assert_eq!(grants.push(&"s".repeat(SERVICE_NAME_BYTES)), Ok(()));
        assert_eq!(grants.push(&"s".repeat(SERVICE_NAME_BYTES + 1)), Err(GrantsError::NameTooLong));
    }

    #[test]
    fn names_of_users() {
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
    fn levels_have_names() {
        for level in [Level::Admin, Level::User] {
            assert_eq!(Level::from_name(level.name()), Some(level));
        }
        assert_eq!(Level::from_name("root"), None);
    }
}
