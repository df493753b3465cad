"""The summary: the tree of calls, parameters, memory, and networks that do not follow or run."""

import json
from dataclasses import FrozenInstanceError, dataclass

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import layerwright as lw
from layerwright.errors import OptionError


def summarised(network, inputs=None, **options):
    """Summarise without timing."""
    return lw.summary(network, inputs, time=False, **options)


def paths(summary):
    """Return path and call of each row."""
    return [(item.path, item.call) for top in summary.modules for item in top.walk()]


class Twice(nn.Module):
    """Calls one part twice, another never; its head is tied to its embedding."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.steps = nn.ModuleList([nn.Linear(4, 4)])
        self.spare = nn.Linear(4, 3)
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embed.weight
        self.steps[0].bias.requires_grad = False

    def forward(self, tokens):
        x = self.embed(tokens)
        x = self.steps[0](self.steps[0](x)[:, :2])
        return self.head(x)


def test_each_call_of_a_shared_module_is_a_row():
    """With its own shapes; a module that is not called is told, a list of modules is no row."""
    found = summarised(Twice(), torch.zeros(2, 3, dtype=torch.int64))
    assert paths(found) == [
        ("", 1), ("embed", 1), ("steps.0", 1), ("steps.0", 2), ("head", 1), ("spare", 0),
    ]  # fmt: skip
    rows = found.modules[0].parts
    assert [item.outputs[0].shape for item in rows[:4]] == [
        (2, 3, 4), (2, 3, 4), (2, 2, 4), (2, 2, 10),
    ]  # fmt: skip
    assert [item.flops for item in rows] == [0, 2 * 6 * 16, 2 * 4 * 16, 2 * 4 * 40, 0]
    text = str(found)
    assert "steps.0 Linear (call 2 of 2)" in text
    assert "not called" in text


def test_parameters_are_counted_once():
    """Trainable, frozen and shared ones; a row holds those of all its parts."""
    found = summarised(Twice(), torch.zeros(2, 3, dtype=torch.int64))
    assert (found.num_trainable, found.num_frozen) == (40 + 16 + 12 + 3, 4)
    assert found.shared == (("embed.weight", "head.weight"),)
    assert found.parameter_bytes == 4 * 75
    assert found.modules[0].num_parameters == 75
    assert "shared, counted once: embed.weight = head.weight" in str(found)


def test_a_module_under_two_names_shares_nothing():
    """Its parameters are counted once, and are not called shared: there is one owner."""
    network = nn.Sequential(nn.Linear(3, 3))
    network.append(network[0])
    found = summarised(network, (2, 3))
    assert (found.num_trainable, found.shared) == (12, ())
    assert paths(found) == [("", 1), ("0", 1), ("0", 2)]


class Huge(nn.Module):
    """Seven billion parameters, 26 GiB in float32."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(2**14, 2**14) for _ in range(26)))

    def forward(self, x):
        return self.layers(x)


def test_seven_billion_parameters_take_no_memory():
    """Neither weights nor activations are built; nothing is timed, and the summary says so."""
    found = lw.summary(Huge, (8, 2**14), backward=True)
    each = 2 * 8 * 2**28
    assert found.num_trainable == 26 * (2**28 + 2**14) > 6.9e9
    assert (found.flops, found.backward_flops) == (26 * each, 51 * each)
    assert not found.with_values
    assert found.counted_time_share is None
    assert found.notes == ("time not measured: it needs 26.0 GiB",)
    broken = lw.summary(lambda: nn.Sequential(Huge(), nn.Linear(3, 3)), (8, 2**14))
    assert broken.failure.where == "1"
    assert broken.notes == ("not run with values: its parameters take 26.0 GiB",)


def test_a_network_that_is_handed_over_stays_as_it_was():
    """Mode, parameters, buffers, gradients, attributes, hooks and random numbers."""

    class Keeps(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.seen = nn.BatchNorm1d(3), None

        def forward(self, x):
            self.seen = self.norm(x)
            return torch.dropout(self.seen, 0.5, self.training)

    network = Keeps()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    found = lw.summary(network, (4, 3), backward=True)
    assert found.ok
    assert found.training
    assert network.seen is None
    assert network.norm.weight.grad is None
    assert not network._forward_hooks
    assert not network.norm._forward_pre_hooks
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.backends.mha.get_fastpath_enabled()


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 4)
        nn.init.ones_(self.a.weight)

    def forward(self, x):
        y = self.a(x)
        if y.sum() > 0:
            y = self.a(y)
        return y


def test_a_data_dependent_network_is_run_and_says_so():
    """With the values that were given: here they decide how often the layer is called."""
    once = summarised(Branches, -10 * torch.ones(2, 4))
    twice = summarised(Branches(), 10 * torch.ones(2, 4))
    assert (once.modules[0].parts[0].num_calls, twice.modules[0].parts[0].num_calls) == (1, 2)
    assert once.with_values
    (note,) = twice.notes
    assert note.startswith("run with values: what it does depends on the values of a tensor (")
    assert "test_summary.py, line" in note
    assert not summarised(nn.Linear(4, 4), (2, 4)).with_values


def test_a_network_that_does_not_run_shows_the_tree_up_to_there():
    """And the failure in words: what was expected, what arrived, what to write."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(100, 10), nn.ReLU())
    found = summarised(network, (2, 3, 8, 8))
    assert not found.ok
    rows = found.modules[0].parts
    assert [item.status for item in rows] == ["finished", "finished", "failed", "not called"]
    assert found.modules[0].status == "failed"
    assert found.failure.where == "2"
    assert found.failure.expected == "100 features in the last dimension (in_features)"
    assert "288 features = 8 * 6 * 6, flattened for 8x8 images" in found.failure.found
    assert found.failure.fix == "write part 2 as nn.Linear(8 * 6 * 6, 10)"
    text = str(found)
    assert "2 Linear <- failed here" in text
    assert "not reached" in text
    assert found.flops == 2 * 2 * 36 * 8 * 27


def test_a_batch_that_training_mode_refuses_is_seen_in_eval_mode():
    """One sample, before batch normalisation; a network in eval mode stays in it."""
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    found = lw.summary(network, (1, 4))
    assert found.ok
    assert not found.training
    assert "in eval mode: in training mode it raised ValueError: Expected more" in found.notes[0]
    assert network.training
    assert summarised(network.eval(), (1, 4)).notes == ()


def test_a_network_may_take_no_arguments():
    """Then the inputs are an empty tuple."""

    class Makes(nn.Module):
        def __init__(self):
            super().__init__()
            self.start = nn.Parameter(torch.ones(2, 3))

        def forward(self):
            return self.start @ self.start.T

    assert summarised(Makes, ()).flops == 2 * 2 * 2 * 3


def test_a_constructor_that_asks_for_values_is_run():
    """As those do that spread a rate over their layers with torch.linspace."""

    class Rates(nn.Module):
        def __init__(self):
            super().__init__()
            self.rates = [value.item() for value in torch.linspace(0, 0.1, 3)]
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            return self.linear(x) * self.rates[1]

    found = summarised(Rates, (2, 3))
    assert found.notes[0].startswith("built and run with values: what it does depends on the")


@dataclass
class Pair:
    left: torch.Tensor
    rest: dict


class Joins(nn.Module):
    def forward(self, pair, scale=None, *, mask=None):
        y = pair.left + pair.rest["right"][0]
        return Pair(y if mask is None else y * mask, {"scaled": y * scale if scale else y})


def test_inputs_and_outputs_may_be_trees():
    """Dataclasses, dicts, tuples; several arguments, named ones, values that are no tensors."""
    pair = Pair(torch.ones(2, 3), {"right": (torch.ones(2, 1),)})
    found = summarised(Joins(), (pair, 2.0))
    assert [(item.name, item.shape) for item in found.outputs] == [
        (".left", (2, 3)), (".rest['scaled']", (2, 3)),
    ]  # fmt: skip
    assert len(found.inputs) == 2
    named = summarised(Joins(), {"pair": pair, "mask": (2, 3)})
    assert [item.shape for item in named.inputs] == [(2, 3), (2, 1), (2, 3)]
    assert summarised(nn.Bilinear(2, 3, 4), ((5, 2), torch.ones(5, 3))).outputs[0].shape == (5, 4)


def test_example_inputs_are_taken_where_none_are_given():
    """Of the class, also when it is not built for real."""

    class Has(nn.Linear):
        example_inputs = (torch.ones(7, 4),)

        def __init__(self):
            super().__init__(4, 2)

    assert summarised(Has).outputs[0].shape == (7, 2)
    assert summarised(Has()).outputs[0].shape == (7, 2)


def test_a_shape_gets_the_dtype_of_the_parameters():
    """So that a network in half precision runs on it."""
    found = summarised(nn.Linear(3, 2).bfloat16(), (4, 3))
    assert (found.ok, found.outputs[0].dtype) == (True, "bfloat16")


def kept_by_hand(network, *inputs):
    """Return the memory behind a graph: what autograd saved, by the sizes of its storages."""
    own = [*network.parameters(), *network.buffers(), *inputs]
    known = {item.untyped_storage().data_ptr() for item in own}
    found = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            found[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network(*inputs)
    return sum(storage.nbytes() for storage in found.values())


def test_kept_memory_is_what_autograd_saves():
    """The same from shapes as from a real pass; by hand for a chain of linear layers and ReLU."""
    network = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    assert summarised(network, (4, 5)).kept_bytes == 4 * 4 * 7  # the ReLU's output, once
    for layer, shape in [
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (2, 3, 8)),
        (nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.GELU()), (2, 2, 8, 8)),
    ]:
        found = summarised(layer, shape)
        assert not found.with_values
        assert found.kept_bytes == kept_by_hand(layer, torch.randn(shape))


def test_recomputed_layers_keep_less_and_calculate_more():
    """Under checkpointing the forward pass inside is done again in the backward pass."""

    class Saves(nn.Module):
        def __init__(self, *, saves):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4))
            self.saves = saves

        def forward(self, x):
            return checkpoint(self.body, x, use_reentrant=False) if self.saves else self.body(x)

    plain, saving = (
        summarised(Saves(saves=saves), torch.ones(3, 4), backward=True) for saves in (False, True)
    )
    assert saving.kept_bytes < plain.kept_bytes
    assert paths(saving) == paths(plain)
    again = saving.backward_flops - plain.backward_flops
    assert again in {2 * 3 * 4 * 8, 2 * 2 * 3 * 4 * 8}  # torch may stop before the last layer


def test_many_equal_calls_are_one_line():
    """A cell in a loop; each call is there in the data."""

    class Loops(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.GRUCell(3, 3)

        def forward(self, x):
            h = x[0]
            for step in x:
                h = self.cell(step, h)
            return h

    found = summarised(Loops(), (6, 2, 3))
    assert len(found.modules[0].parts) == 6
    assert str(found).count("cell GRUCell") == 1
    assert "cell GRUCell x6" in str(found)


def test_a_large_tree_is_folded_and_says_so():
    """No more than 60 lines, unless more levels are asked for."""
    network = nn.Sequential(*(nn.Sequential(nn.Linear(2, 2), nn.ReLU()) for _ in range(40)))
    found = summarised(network, (1, 2))
    assert "1 of 2 levels; --depth 2 shows all" in str(found)
    assert found.as_text(2).count("ReLU") == 40
    assert "0 Sequential" not in found.as_text(0)


def test_the_result_is_frozen_and_plain():
    """It goes into JSON, and back out as the same numbers."""
    found = summarised(Twice(), torch.zeros(2, 3, dtype=torch.int64), backward=True)
    with pytest.raises(FrozenInstanceError):
        found.flops = 0
    read = json.loads(json.dumps(found.as_dict()))
    assert read["flops"] == found.flops
    assert read["modules"][0]["parts"][1]["outputs"] == [
        {"name": "", "shape": [2, 3, 4], "dtype": "float32"}
    ]
    assert read["failure"] is None


@pytest.mark.parametrize(
    ("network", "inputs", "message"),
    [
        (nn.Linear(2, 2), None, "Linear expected inputs, received none. Fix: "),
        (nn.Linear(2, 2), "abc", "inputs expected tensors or shapes, received 'abc'. Fix: "),
        (nn.Linear(2, 2), (2, -1), "a shape expected sizes from 0, received (2, -1)."),
        (Branches.forward, (2, 4), "forward expected to be built without arguments: "),
        (dict, (2, 4), "summary and graph expected an nn.Module, its class or a function"),
        ("lenet", (2, 4), "summary and graph expected an nn.Module, its class or a function"),
        (lambda: 3, (2, 4), "<lambda> expected to return an nn.Module, received int."),
        (lambda: nn.Linear(-1, 2), (2, 4), "<lambda> cannot be built: RuntimeError: "),
    ],
)
def test_wrong_use_is_told(network, inputs, message):
    """What was expected, what was received."""
    with pytest.raises(OptionError) as caught:
        summarised(network, inputs)
    assert str(caught.value).startswith(message)
