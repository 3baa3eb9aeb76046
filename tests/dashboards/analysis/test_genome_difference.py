from dashboards.analysis.genome_difference import differing_paths, flattened


def test_a_genome_is_flattened_to_its_leaves():
    genome = {"width": 1024, "stages": [{"block": "d f", "repeats": 3}, []], "head": None}
    assert flattened(genome) == {
        "width": "1024", "stages[0].block": "d f", "stages[0].repeats": "3", "stages[1]": "[]", "head": "null",
    }  # fmt: skip
    assert flattened(7) == {"genome": "7"}


def test_only_paths_that_differ_are_named_and_an_absent_one_differs():
    genomes = [flattened(genome) for genome in ({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 1, "b": 2, "c": "x"})]
    assert differing_paths(genomes) == ["b", "c"]
    assert differing_paths(genomes[:1]) == []
