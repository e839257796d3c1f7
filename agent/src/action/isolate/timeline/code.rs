//! The single-use code as timelines: it ends what stands, whatever is under way.

use super::check;
use crate::action::isolate::Isolation;

#[test]
fn a_typed_code_lets_back_and_ends_the_isolation_under_its_own_name() {
    check(
        "0: isolate a 60\n 0: cut done\n 5: code\n 6: let-back failed\n 11: wait\n 11: let-back done",
        "0: save a until 60
         0: cut off with mark 1
         0: a applied until 60
         0: prove
         5: let back
         6: a release failed: held
         11: let back
         11: forget
         11: a released, code typed",
    );
}

#[test]
fn a_code_typed_while_it_is_cut_off_or_let_back_does_not_wait() {
    check(
        "0: isolate a 60\n 1: code\n 1: late cut done\n 2: let-back done",
        "0: save a until 60
         0: cut off with mark 1
         1: let back
         2: forget
         2: a released, code typed",
    );
    check(
        "0: isolate a 60\n 0: cut done\n 1: release b\n 2: let-back failed\n 3: code\n 4: let-back done",
        "0: save a until 60
         0: cut off with mark 1
         0: a applied until 60
         0: prove
         1: save a until 60
         1: let back
         2: b release failed: held
         3: let back
         4: forget
         4: b released",
    );
}

#[test]
fn where_nothing_stands_a_code_has_nothing_to_let_back() {
    assert!(!Isolation::default().handle_break_glass());
}
