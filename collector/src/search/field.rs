//! Conditions on the fields of events, as people write them: `process.file.path contains nginx and
//! process.pid > 1000`. Pure.
//!
//! A field is a dotted path into the event as it is shown. Where a list lies on the way, one of its
//! members must fit. What an event does not have is not so, whatever is asked of it.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// Longest text of conditions.
pub const BYTES_MAX: usize = 2048;

/// Conditions at once.
pub const CONDITIONS_MAX: usize = 16;

/// Members of a path.
const DEPTH_MAX: usize = 16;

/// Conditions that must all be so.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Conditions(Vec<Condition>);

#[derive(Clone, Debug, Eq, PartialEq)]
struct Condition {
    path: Vec<String>,
    comparison: Comparison,
    value: String,
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Comparison {
    Is,
    IsNot,
    Less,
    Greater,
    Contains,
    Prefix,
}

/// Why a text is no conditions.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FieldError {
    /// Too long.
    #[error("conditions have at most {BYTES_MAX} bytes")]
    Long,
    /// Too many.
    #[error("at most {CONDITIONS_MAX} conditions can be asked for at once")]
    Many,
    /// No path.
    #[error("'{0}' is not a field, such as process.file.path")]
    Path(String),
    /// No comparison.
    #[error("after '{0}' comes one of = != < > contains prefix")]
    Comparison(String),
    /// No value.
    #[error("after the comparison of '{0}' comes a value; one with spaces in double quotes")]
    Value(String),
    /// Something else than another condition.
    #[error("conditions are joined by 'and', not by '{0}'")]
    Joint(String),
}

impl Comparison {
    /// Longer ones before those that they begin with.
    const ALL: [(Self, &'static str); 6] = [
        (Self::IsNot, "!="),
        (Self::Is, "="),
        (Self::Less, "<"),
        (Self::Greater, ">"),
        (Self::Contains, "contains"),
        (Self::Prefix, "prefix"),
    ];
}

impl Conditions {
    /// Whether there is nothing to be so.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all are so of an event as it is shown.
    #[must_use]
    pub fn hold(&self, event: &Value) -> bool {
        self.0.iter().all(|condition| condition.holds(event))
    }
}

impl Condition {
    fn holds(&self, event: &Value) -> bool {
        let mut found = Vec::new();
        gather(event, &self.path, &mut found);
        match self.comparison {
            Comparison::IsNot => {
                !found.is_empty() && !found.iter().any(|value| is(value, &self.value))
            }
            Comparison::Is => found.iter().any(|value| is(value, &self.value)),
            Comparison::Less => self.orders(&found, std::cmp::Ordering::Less),
            Comparison::Greater => self.orders(&found, std::cmp::Ordering::Greater),
            Comparison::Contains => self.within(&found, |text, part| text.contains(part)),
            Comparison::Prefix => self.within(&found, |text, part| text.starts_with(part)),
        }
    }

    fn orders(&self, found: &[&Value], wanted: std::cmp::Ordering) -> bool {
        found.iter().any(|value| order(value, &self.value) == Some(wanted))
    }

    fn within(&self, found: &[&Value], fits: impl Fn(&str, &str) -> bool) -> bool {
        let part = self.value.to_lowercase();
        found.iter().filter_map(|value| word(value)).any(|text| fits(&text.to_lowercase(), &part))
    }
}

/// The values at the end of a path, through any list on the way.
fn gather<'v>(value: &'v Value, path: &[String], found: &mut Vec<&'v Value>) {
    match (value, path) {
        (Value::Array(members), _) => {
            members.iter().for_each(|member| gather(member, path, found));
        }
        (Value::Object(members), [first, rest @ ..]) => {
            members.get(first).into_iter().for_each(|member| gather(member, rest, found));
        }
        (Value::Null | Value::Object(_), []) => {}
        (Value::Bool(_) | Value::Number(_) | Value::String(_), []) => found.push(value),
        (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_), [_, ..]) => {}
    }
}

/// A value as text.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(so) => Some(so.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn is(value: &Value, text: &str) -> bool {
    order(value, text) == Some(std::cmp::Ordering::Equal)
}

/// As numbers where both are: numbers that may pass 2^53 are shown as text. Else as texts, by which
/// times are in order, too.
fn order(value: &Value, text: &str) -> Option<std::cmp::Ordering> {
    let shown = word(value)?;
    if let (Ok(one), Ok(other)) = (shown.parse::<i128>(), text.parse::<i128>()) {
        return Some(one.cmp(&other));
    }
    if value.is_number()
        && let (Ok(one), Ok(other)) = (shown.parse::<f64>(), text.parse::<f64>())
    {
        return one.partial_cmp(&other);
    }
    Some(shown.as_str().cmp(text))
}

impl FromStr for Conditions {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        if text.len() > BYTES_MAX {
            return Err(FieldError::Long);
        }
        let mut conditions = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            if conditions.len() == CONDITIONS_MAX {
                return Err(FieldError::Many);
            }
            let (condition, after) = condition(rest)?;
            conditions.push(condition);
            let after = after.trim_start();
            if after.is_empty() {
                break;
            }
            let joint = after.split_whitespace().next().unwrap_or_default();
            if !joint.eq_ignore_ascii_case("and") {
                return Err(FieldError::Joint(short(joint)));
            }
            rest = after.get(joint.len()..).unwrap_or_default().trim_start();
            if rest.is_empty() {
                return Err(FieldError::Path(String::new()));
            }
        }
        Ok(Self(conditions))
    }
}

fn condition(text: &str) -> Result<(Condition, &str), FieldError> {
    let in_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let end = text.find(|c| !in_path(c)).unwrap_or(text.len());
    let (field, rest) = text.split_at(end);
    let path: Vec<String> = field.split('.').map(str::to_owned).collect();
    if path.len() > DEPTH_MAX || path.iter().any(String::is_empty) {
        return Err(FieldError::Path(short(text.split_whitespace().next().unwrap_or_default())));
    }
    let rest = rest.trim_start();
    let (comparison, sign) = Comparison::ALL
        .into_iter()
        .find(|(_, sign)| rest.starts_with(sign))
        .ok_or_else(|| FieldError::Comparison(short(field)))?;
    let rest = rest.get(sign.len()..).unwrap_or_default();
    // `containsx` is no comparison.
    if sign.ends_with(char::is_alphabetic) && !rest.starts_with(char::is_whitespace) {
        return Err(FieldError::Comparison(short(field)));
    }
    let (value, rest) = value(rest.trim_start()).ok_or_else(|| FieldError::Value(short(field)))?;
    Ok((Condition { path, comparison, value }, rest))
}

/// A value: up to the next space, or in double quotes, in which a backslash takes the next
/// character as it is.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (!value.is_empty()).then(|| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, quoted.get(at + 1..).unwrap_or_default())),
            '\\' => value.push(characters.next()?.1),
            c => value.push(c),
        }
    }
    None
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Condition { path, comparison, value }) in self.0.iter().enumerate() {
            let sign = Comparison::ALL.into_iter().find(|(one, _)| one == comparison);
            let sign = sign.map_or("", |(_, sign)| sign);
            let joint = if number == 0 { "" } else { " and " };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            write!(f, "{joint}{} {sign} \"{value}\"", path.join("."))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn event() -> Value {
        json!({
            "class": "process", "time": "2026-11-21T00:00:00.000000000Z", "ok": true, "load": 0.5,
            "process": { "pid": 1234, "file": { "path": "/usr/sbin/Nginx" }, "big": "9007199254740993" },
            "tags": ["one", "Two"], "peers": [{ "port": 22 }, { "port": 443 }], "none": null,
        })
    }

    #[track_caller]
    fn check(text: &str, so: bool) {
        let conditions: Conditions = text.parse().unwrap();
        assert_eq!(conditions.hold(&event()), so, "{text}");
        let again: Conditions = conditions.to_string().parse().unwrap();
        assert_eq!(again, conditions, "{conditions}");
    }

    #[test]
    fn fields_are_compared_as_what_they_are() {
        check("", true);
        check("class = process", true);
        check("class=process and process.pid=1234", true);
        check("class = Process", false);
        check("process.pid > 999", true);
        check("process.pid < 999", false);
        check("process.big > 9007199254740992", true);
        check("process.big = 9007199254740992", false);
        check("load < 0.75", true);
        check("ok = true", true);
        check("time > 2026-11-20", true);
        check("process.file.path contains NGINX", true);
        check("process.file.path prefix /usr/", true);
        check("process.file.path prefix \"/usr/ \"", false);
        check("class = process AND process.pid = 1", false);
    }

    #[test]
    fn one_member_of_a_list_suffices_and_none_may_be_what_it_must_not() {
        check("tags = one", true);
        check("peers.port = 443", true);
        check("peers.port > 443", false);
        check("peers.port != 443", false);
        check("peers.port != 80", true);
    }

    #[test]
    fn what_is_not_there_is_not_so() {
        for text in ["nothing = 1", "nothing != 1", "none != 1", "class.deeper = 1", "process = 1"]
        {
            check(text, false);
        }
    }

    #[track_caller]
    fn check_refused(text: &str, says: &str) {
        let error = text.parse::<Conditions>().unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_what_was_expected() {
        check_refused("process..pid = 1", "is not a field");
        check_refused("= 1", "is not a field");
        check_refused("pid ~ 1", "after 'pid' comes one of = != < >");
        check_refused("pid containsx 1", "after 'pid' comes one of");
        check_refused("pid =", "comes a value");
        check_refused("pid = \"open", "comes a value");
        check_refused("pid = 1 or pid = 2", "joined by 'and', not by 'or'");
        check_refused("pid = 1 and", "is not a field");
        check_refused(&vec!["a = 1"; 17].join(" and "), "at most 16");
        check_refused(&"a".repeat(BYTES_MAX + 1), "at most 2048 bytes");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_what_is_read_says_the_same_again(text in "\\PC{0,200}") {
            if let Ok(conditions) = text.parse::<Conditions>() {
                let said = conditions.to_string();
                prop_assert!(conditions.is_empty() || !said.is_empty());
                prop_assert_eq!(conditions.hold(&event()), said.parse::<Conditions>().unwrap().hold(&event()));
                prop_assert_eq!(said.parse::<Conditions>(), Ok(conditions));
            }
        }

        #[test]
        fn any_value_can_be_quoted(value in "\\PC{1,40}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let conditions: Conditions = format!("a = \"{quoted}\"").parse().unwrap();
            let event = json!({ "a": value });
            prop_assert!(conditions.hold(&event));
        }
    }
}
