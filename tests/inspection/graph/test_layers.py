"""The layered layout: what follows stands below, nothing overlaps, chains are straight."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from layerwright.inspection.graph.columns import PAGE, columns_of, scale_on_page
from layerwright.inspection.graph.layers import GAP_X, Link, Node, lay_out

SIZES = st.tuples(st.integers(5, 80), st.integers(5, 40))


@st.composite
def graphs(draw):
    """Nodes with sizes, and links that go from earlier to later ones."""
    nodes = [Node(place, *draw(SIZES)) for place in range(draw(st.integers(1, 12)))]
    pairs = [(one, other) for one in range(len(nodes)) for other in range(one + 1, len(nodes))]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    links = [
        Link(nodes[one], nodes[other], nodes[one].width / 2, nodes[other].width / 2)
        for one, other in chosen
    ]
    return nodes, links


@settings(deadline=None, max_examples=60)
@given(graphs())
def test_what_follows_stands_below_and_nothing_overlaps(graph):
    """For every graph without circles; long lines have a bend in each layer that they pass."""
    nodes, links = graph
    rows = lay_out(nodes, links)
    assert {node for row in rows for node in row.nodes if not node.is_bend} == set(nodes)
    for row in rows:
        for one, other in pairwise(row.nodes):
            assert one.x + one.width + GAP_X <= other.x + 1e-6
        for node in row.nodes:
            assert row.y <= node.y
            assert node.y + node.height <= row.y + row.height + 1e-9
    for one, other in pairwise(rows):
        assert one.y + one.height < other.y
    for link in links:
        layers = [link.start.layer, *(bend.layer for bend in link.bends), link.end.layer]
        assert layers == list(range(link.start.layer, link.end.layer + 1))


def chain(*sizes):
    """Return nodes one after the other."""
    nodes = [Node(place, *size) for place, size in enumerate(sizes)]
    return nodes, [
        Link(one, other, one.width / 2, other.width / 2) for one, other in pairwise(nodes)
    ]


def test_a_chain_is_straight():
    """The middles of its nodes lie on one line."""
    nodes, links = chain((10, 10), (60, 20), (30, 10))
    lay_out(nodes, links)
    middles = [node.x + node.width / 2 for node in nodes]
    assert max(middles) - min(middles) < 0.5


def test_a_way_around_runs_beside_what_it_goes_around():
    """The bends of a residual line stand beside the widest part, one under the other."""
    nodes, links = chain((20, 10), (30, 10), (150, 10), (30, 10), (20, 10))
    around = Link(nodes[0], nodes[4], 10, 10)
    lay_out(nodes, [*links, around])
    places = [bend.x for bend in around.bends]
    assert max(places) - min(places) < 2.0
    assert not nodes[2].x - 1 < places[1] < nodes[2].x + nodes[2].width


def test_crossings_are_taken_away_where_they_can_be():
    """Two lines that are given crossed stand uncrossed."""
    nodes = [Node(place, 20, 10) for place in range(4)]
    links = [Link(nodes[0], nodes[3], 10, 10), Link(nodes[1], nodes[2], 10, 10)]
    lay_out(nodes, links)
    assert (nodes[0].x < nodes[1].x) == (nodes[3].x < nodes[2].x)


def test_a_tall_layout_is_broken_into_columns_of_about_equal_height():
    """So that it is larger on a page; a box inside, and what fits as it is, stay one column."""
    nodes, links = chain(*[(100, 40)] * 30)
    rows = lay_out(nodes, links)
    columns = columns_of(rows, is_page=True)
    assert len(columns) > 1
    assert [column.first for column in columns[1:]] == [column.last + 1 for column in columns[:-1]]
    height = rows[-1].y + rows[-1].height
    assert scale_on_page(columns[-1].gutter_x, columns[0].bottom) > scale_on_page(100, height)
    short = lay_out(*chain(*[(100, 40)] * 5))
    assert len(columns_of(short, is_page=True)) == 1
    middling = lay_out(*chain(*[(100, 40)] * 13))
    assert middling[-1].y > PAGE[1]
    assert len(columns_of(middling, is_page=False)) == 1
