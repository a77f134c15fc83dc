"""The page of a network: its networks at a few contexts, its edges, and its nodes."""

from typing import Any

from bayes_personal.pages.contents import environment, estimates, hyperpriors, image
from bayes_personal.pages.network_plots import WORDS, by_default, chosen, plot_edges, plot_network, titles
from bayes_personal.posterior.network_posterior import NetworkPosterior
from bayes_personal.questions.network_readings import edges

# Edges in the table of the strongest ones.
STRONGEST = 12


def network_page(posterior: NetworkPosterior, shared: dict[str, Any]) -> str:
    """Return the page; `shared` holds what pages of models have too."""
    model = posterior.model
    kind = by_default(posterior)
    frame = chosen(posterior)
    at = dict(enumerate(titles(posterior, frame)))
    table = edges(posterior, at=frame.set_axis(range(len(frame))), kind=kind)
    table = table.assign(at=table.index.map(at), size=table["mean"].abs()).nlargest(STRONGEST, "size")
    nodes = [{"name": name, "posterior": node, "words": node.complaints[0] if node.complaints else "no complaint",
              "diagnostics": str(node.diagnostics).splitlines(), "estimates": estimates(node),
              "hyperpriors": hyperpriors(node)} for name, node in posterior.nodes.items()]
    return environment().get_template("network_report.html").render(
        posterior=posterior, rows=len(posterior.index), story=repr(model).splitlines(), reading=f"{WORDS[kind]}s",
        circles=image(plot_network(posterior, at=frame, kind=kind)), strongest=table.to_dict("records"),
        arrow="→" if kind == "directed" else "–",
        heat=image(plot_edges(posterior, kind="heat", of=kind)) if model.prior.columns else None, nodes=nodes, **shared)
