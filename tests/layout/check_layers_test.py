#!/usr/bin/env python3
"""Shows that check_layers.py refuses what it should: a check that cannot fail checks nothing."""

import tempfile
import unittest
from pathlib import Path

from check_layers import check_tree, read_table

CMAKE = """
add_pgweir_layer(base     Boost::headers)
add_pgweir_layer(protocol pgweir_base)
add_pgweir_layer(auth     pgweir_protocol OpenSSL::Crypto)
add_pgweir_layer(net      pgweir_base)
"""


class CheckLayers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        (self.root / "CMakeLists.txt").write_text(CMAKE)
        for name in ("include/pgweir", "src"):
            (self.root / name).mkdir(parents=True)

    def problems_of(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        problems, count = check_tree(self.root)
        self.assertEqual(count, 1)
        return problems

    def test_table_is_transitive_and_has_the_layer_itself(self):
        self.assertEqual(read_table(CMAKE)["auth"], {"auth", "protocol", "base"})

    def test_include_of_an_allowed_layer_passes(self):
        self.assertEqual(
            self.problems_of("src/auth/a.cpp", '#include "pgweir/base/clock.hpp"\n'), []
        )

    def test_include_of_a_higher_layer_is_refused(self):
        problems = self.problems_of("src/base/a.cpp", '\n#include "pgweir/auth/scram.hpp"\n')
        self.assertEqual(len(problems), 1)
        self.assertIn("a.cpp:2: base must not include auth", problems[0])

    def test_include_of_a_neighbour_that_is_not_below_is_refused(self):
        self.assertTrue(self.problems_of("src/auth/a.cpp", '#include "pgweir/net/stream.hpp"\n'))

    def test_include_of_another_layers_private_header_is_refused(self):
        self.assertTrue(self.problems_of("src/auth/a.cpp", '#include "protocol/table.hpp"\n'))

    def test_include_of_the_own_private_header_passes(self):
        self.assertEqual(self.problems_of("src/auth/a.cpp", '#include "auth/hash.hpp"\n'), [])

    def test_private_header_in_a_public_one_is_refused(self):
        self.assertTrue(
            self.problems_of("include/pgweir/auth/a.hpp", '#include "auth/hash.hpp"\n')
        )

    def test_socket_in_a_header_of_a_pure_layer_is_refused(self):
        self.assertTrue(
            self.problems_of("include/pgweir/protocol/a.hpp", "#include <sys/socket.h>\n")
        )

    def test_asio_in_a_header_of_a_pure_layer_is_refused(self):
        self.assertTrue(
            self.problems_of("include/pgweir/auth/a.hpp", "#include <boost/asio/ip/tcp.hpp>\n")
        )

    def test_openssl_in_a_body_of_a_pure_layer_passes(self):
        self.assertEqual(self.problems_of("src/auth/a.cpp", "#include <openssl/evp.h>\n"), [])

    def test_folder_that_is_no_layer_is_refused(self):
        (self.root / "src/misc").mkdir()
        problems, _ = check_tree(self.root)
        self.assertEqual(len(problems), 1)


if __name__ == "__main__":
    unittest.main()
