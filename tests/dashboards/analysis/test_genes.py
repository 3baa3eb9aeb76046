import json

import numpy as np
import pytest

from dashboards.analysis.genes import genes_of, operator_counts


def with_genomes(results, genomes):
    trials = results.trials.head(len(genomes)).copy()
    trials["genome"] = [genome if isinstance(genome, str) else json.dumps(genome) for genome in genomes]
    return trials


def named(trials):
    return {gene.name: gene for gene in genes_of(trials).genes}


def test_operators_are_counted_under_the_names_that_styles_know():
    assert operator_counts("(d f m2 f)x2 a w fla:kda fla:gla") == {
        "deltanet": 2, "ffn": 4, "mamba2": 2, "attention": 1, "sliding_window_attention": 1, "fla": 2,
    }  # fmt: skip
    assert operator_counts("(d f") == {}
    assert operator_counts(None) == {}


def test_width_depth_and_operators_are_genes(results):
    genes = named(results.trials)
    assert list(genes)[:2] == ["hidden_size", "depth"]
    assert genes["hidden_size"].values.tolist() == results.trials["hidden_size"].astype(float).tolist()
    total = sum(gene.values for name, gene in genes.items() if name in ("attention", "sliding_window_attention",
                "mamba2", "deltanet", "ffn"))  # fmt: skip
    assert total.tolist() == results.trials["depth"].astype(float).tolist()


def test_scalars_of_the_genome_are_genes_wherever_they_lie(results):
    genomes = [
        {"ffn": {"ratio": 2 + place % 2, "gated": place % 3 == 0}, "heads": [4, 4 + place], "kind": "abc"[place % 3]}
        for place in range(6)
    ]
    genes = named(with_genomes(results, genomes))
    assert genes["ffn.ratio"].values.tolist() == [2, 3, 2, 3, 2, 3]
    assert genes["ffn.gated"].values.tolist() == ["yes", "no", "no", "yes", "no", "no"]
    assert genes["heads_2"].values.tolist() == [4, 5, 6, 7, 8, 9]
    assert genes["kind"].values.tolist() == list("abcabc")
    assert not genes["kind"].is_number
    assert "heads_1" not in genes, "it is the same for all"
    assert "number_of_heads" not in genes


def test_what_only_repeats_another_gene_is_left_out(results):
    genomes = [{"width": int(width)} for width in results.trials["hidden_size"].head(8)]
    assert "width" not in named(with_genomes(results, genomes))


def test_long_lists_and_long_texts_are_no_genes_but_their_lengths_are(results):
    genomes = [{"layers": [place] * (9 + place), "stages": "(d)x1 " * (1 + place % 2)} for place in range(9)]
    genes = named(with_genomes(results, genomes))
    assert genes["number_of_layers"].values.tolist() == [9 + place for place in range(9)]
    assert not [name for name in genes if name.startswith("layers")]
    assert genes["number_of_stages"].values.tolist() == [1 + place % 2 for place in range(9)]


@pytest.mark.parametrize("garbled", ["{", "[1, 2]", "null"])
def test_a_garbled_genome_is_counted_and_hides_no_other(results, garbled):
    found = genes_of(with_genomes(results, [{"ratio": 1}, garbled, {"ratio": 3}]))
    values = next(gene.values for gene in found.genes if gene.name == "ratio")
    np.testing.assert_array_equal(values, [1, np.nan, 3])
    assert found.num_garbled == 1


def test_a_garbled_pattern_is_counted_and_hides_no_other(results):
    trials = results.trials.copy()
    trials.loc[3, "pattern"] = "(d f"
    found = genes_of(trials)
    ffn = next(gene.values for gene in found.genes if gene.name == "ffn")
    assert np.isnan(ffn).tolist() == [place == 3 for place in range(len(trials))]
    assert found.num_garbled == 1


def test_names_of_genes_can_stand_in_a_link(results):
    genes = named(with_genomes(results, [{"a:b, c": place} for place in range(4)]))
    assert "a_b_c" in genes


def test_a_study_without_architectures_keeps_the_genes_of_its_genomes(foreign_results):
    names = [gene.name for gene in genes_of(foreign_results.trials).genes]
    assert names == ["number_of_stages"]


def test_no_trials_have_no_genes(empty_results):
    assert genes_of(empty_results.trials).genes == ()
