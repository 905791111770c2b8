// What auth_query may answer, and what is said of anything else.
#include "lookup/lookup_answer.hpp"

#include "pgweir/auth/scram_keys.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace pgweir::lookup {
namespace {

using ::testing::HasSubstr;
using rows = watch::result_rows;

std::variant<found_secret, lookup_failure> read(rows r) {
    watch::batch_result answer;
    answer.results.push_back(std::move(r));
    return read_lookup("ann", answer);
}

std::string problem(rows r) {
    const auto out = read(std::move(r));
    const auto* why = std::get_if<lookup_failure>(&out);
    return why == nullptr ? "" : why->text;
}

lookup_failure failure(const char* sqlstate) {
    watch::batch_result answer;
    answer.failed = {sqlstate, "no such luck"};
    return std::get<lookup_failure>(read_lookup("ann", answer));
}

TEST(lookup_answer, is_the_user_and_its_secret) {
    const auto verifier = auth::make_scram_verifier("pencil", "0123456789abcdef", 1).to_string();
    const auto out = std::get<found_secret>(read({{"ann", verifier}}));
    EXPECT_EQ(out->reveal(), verifier);
}

TEST(lookup_answer, may_be_an_md5_hash) {
    const std::string hash = "md5" + std::string(32, 'a');
    EXPECT_EQ(std::get<found_secret>(read({{"ann", hash}}))->reveal(), hash);
}

TEST(lookup_answer, is_never_a_password_in_plain_text) {
    for (const auto* text : {"********", "pencil", "md5abc", "SCRAM-SHA-256$4096:c2FsdA==$cut"}) {
        EXPECT_THAT(problem({{"ann", text}}), HasSubstr("rolpassword")) << text;
    }
}

TEST(lookup_answer, must_not_cost_more_to_check_than_a_server_may_ask_for) {
    auto costly = auth::make_scram_verifier("pencil", "0123456789abcdef", 1);
    costly.iterations = 2'000'000'000;
    EXPECT_THAT(problem({{"ann", costly.to_string()}}), HasSubstr("iterations"));
}

TEST(lookup_answer, without_a_row_means_that_there_is_no_such_user) {
    EXPECT_FALSE(std::get<found_secret>(read({})));
}

TEST(lookup_answer, with_null_means_that_the_user_has_no_password) {
    const auto out = std::get<found_secret>(read({{"ann", std::nullopt}}));
    ASSERT_TRUE(out);
    EXPECT_TRUE(out->empty());
}

TEST(lookup_answer, must_have_two_columns) {
    EXPECT_THAT(problem({{"ann"}}), HasSubstr("two columns"));
    EXPECT_THAT(problem({{"ann", "secret", "2030-01-01"}}), HasSubstr("returns 3"));
}

TEST(lookup_answer, must_be_one_row) {
    EXPECT_THAT(problem({{"ann", "a"}, {"ann", "b"}}), HasSubstr("one row"));
}

TEST(lookup_answer, must_be_about_the_user_that_was_asked_for) {
    EXPECT_THAT(problem({{"bob", "secret"}}), HasSubstr("first column"));
    EXPECT_THAT(problem({{std::nullopt, "secret"}}), HasSubstr("first column"));
}

TEST(lookup_answer, must_not_have_a_secret_without_end) {
    EXPECT_THAT(problem({{"ann", std::string(watch::max_cell_size + 1, 'x')}}),
                HasSubstr("more than 1024 bytes"));
}

TEST(lookup_answer, never_quotes_the_secret) {
    EXPECT_THAT(problem({{"bob", "pencil"}}), ::testing::Not(HasSubstr("pencil")));
}

TEST(lookup_answer, is_wiped) {
    watch::batch_result answer;
    answer.results.push_back({{"ann", "pencil"}});
    (void)read_lookup("ann", answer);
    EXPECT_THAT(*answer.results[0][0][1], ::testing::Not(HasSubstr("pencil")));
}

TEST(lookup_answer, that_is_an_error_says_which) {
    const auto why = failure("42501");
    EXPECT_EQ(why.sqlstate, "42501");
    EXPECT_THAT(why.text, HasSubstr("no such luck"));
}

TEST(lookup_answer, that_lacks_a_privilege_or_a_table_will_be_the_same_again) {
    EXPECT_FALSE(failure("42501").may_pass);
    EXPECT_FALSE(failure("42P01").may_pass);
    EXPECT_FALSE(failure("28P01").may_pass);
}

TEST(lookup_answer, of_a_server_that_stops_or_is_full_may_be_another_one_soon) {
    EXPECT_TRUE(failure("57P01").may_pass);
    EXPECT_TRUE(failure("53300").may_pass);
    EXPECT_TRUE(failure("08006").may_pass);
}

TEST(lookup_answer, to_a_name_that_is_no_text_is_nobody) {
    watch::batch_result answer;
    answer.failed = {"22021", "invalid byte sequence"};
    EXPECT_FALSE(std::get<found_secret>(read_lookup("ann", answer)));
}

}  // namespace
}  // namespace pgweir::lookup
