//! Health checks in the content of `show` and of `board/status`.

use crate::json::{Full, Writer};
use crate::service::{Check, CheckStatus};

/// Writes the member `Checks`, if there are any.
pub(super) fn put<'s>(
    out: &mut Writer<'_>,
    checks: impl Iterator<Item = (&'s Check, CheckStatus)>,
) -> Result<(), Full> {
    let mut begin = r#", "Checks": ["#;
    let mut end = "";
    for (check, CheckStatus { state, failures, error }) in checks {
        out.put(begin)?;
        (begin, end) = (",", "]");
        out.put(r#"{"Name": "#)?;
        out.put_text(&check.name)?;
        out.put_display(format_args!(
            r#", "Level": "{}", "State": "{}", "Failures": {failures}"#,
            check.level.name(),
            state.word()
        ))?;
        if let Some(error) = error {
            out.put(r#", "Error": "#)?;
            out.put_string(error)?;
        }
        out.put("}")?;
    }
    out.put(end)
}
