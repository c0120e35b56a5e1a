"""The table of holes is complete: no line is marked `# SECURITY:` without a test that notices its loss (`make hostile`)."""

from tests.mutations import MUTATIONS, ROOT, markers


def test_every_marked_line_has_a_mutation():
    missing = [(file, said) for file, said in markers() if not any(m.file == file and said.startswith(m.marker) for m in MUTATIONS)]

    assert missing == []


def test_every_mutation_finds_its_marker_and_changes_one_place():
    for mutation in MUTATIONS:
        assert any(file == mutation.file and said.startswith(mutation.marker) for file, said in markers()), mutation
        assert (ROOT / mutation.file).read_text(encoding="utf-8").count(mutation.old) == 1, mutation
        assert (ROOT / mutation.tests).is_file(), mutation
