// Whom pgweir may be.
#include "pgweir/app/privileges.hpp"

#include <gtest/gtest.h>

namespace pgweir::app {
namespace {

constexpr uid_t root = 0;
constexpr uid_t weir = 1000;
constexpr uid_t other = 1001;

identity_choice choice_of(uid_t current, bool may_stay_root = false) {
    return choose_identity({.current = current, .may_stay_root = may_stay_root});
}

identity_choice choice_of(uid_t current, uid_t wanted, bool may_stay_root = false) {
    return choose_identity(
        {.current = current, .has_wanted = true, .wanted = wanted, .may_stay_root = may_stay_root});
}

TEST(privileges, of_an_ordinary_account_are_kept) {
    EXPECT_EQ(choice_of(weir), identity_choice::stay);
}

TEST(privileges, of_root_are_refused) { EXPECT_EQ(choice_of(root), identity_choice::refuse_root); }

TEST(privileges, of_root_are_kept_where_that_is_insisted_on) {
    EXPECT_EQ(choice_of(root, true), identity_choice::stay);
}

TEST(privileges, of_root_are_given_up_for_an_account) {
    EXPECT_EQ(choice_of(root, weir), identity_choice::become);
}

TEST(privileges, are_given_up_though_root_might_stay) {
    EXPECT_EQ(choice_of(root, weir, true), identity_choice::become);
}

TEST(privileges, of_root_are_not_kept_by_naming_root) {
    EXPECT_EQ(choice_of(root, root), identity_choice::refuse_root);
    EXPECT_EQ(choice_of(root, root, true), identity_choice::stay);
}

TEST(privileges, of_the_account_that_is_wanted_are_kept) {
    EXPECT_EQ(choice_of(weir, weir), identity_choice::stay);
}

TEST(privileges, of_one_account_are_not_changed_for_those_of_another) {
    EXPECT_EQ(choice_of(weir, other), identity_choice::refuse_other);
    EXPECT_EQ(choice_of(weir, root), identity_choice::refuse_other);
}

}  // namespace
}  // namespace pgweir::app
