"""One contract: what people do to an `nn.Embedding` they can do to sums of rows, kron and bags.

Each step is run on a learned table, too, which shows that the step is one that PyTorch supports.
"""

from __future__ import annotations

import copy
import functools
import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch as safetensors
import torch
from each import on_each
from embeddings import (
    IDS,
    OTHERS,
    RULE,
    SHORT,
    WIDTH,
    WORDS,
    agrees,
    bag,
    kron,
    linear,
    near,
    table,
)
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, stack_module_state, vmap
from torch.nn.utils import parametrizations, parametrize, prune, skip_init
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from kronviz.arms.context import ContextEmbedding
from kronviz.embedding import KroneckerEmbedding

Make = Callable[..., nn.Module]
each = on_each("make", [table, kron, bag])
each_mode = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


def warm(module: nn.Module) -> nn.Module:
    """In evaluation mode, with all kept that is kept."""
    module.eval()
    with torch.no_grad():
        agrees(module)
    return module


@each
def test_names(make: Make) -> None:
    module = make()
    assert list(module.state_dict()) == [name for name, _ in module.named_parameters()]
    assert list(module.state_dict()) == ["weight"]
    assert not list(module.buffers())
    outer = nn.ModuleDict({"wte": module})
    assert list(outer.state_dict(prefix="model.")) == ["model.wte.weight"]
    assert outer.state_dict(keep_vars=True)["wte.weight"] is module.weight

    def drop(_: nn.Module, state: dict[str, Tensor], prefix: str, *rest: object) -> None:
        del state[f"{prefix}weight"]

    module.register_state_dict_post_hook(drop)
    assert not outer.state_dict()
    for name, value in vars(nn.Embedding(2, 3)).items():
        if not name.startswith("_") and name != "training":
            assert hasattr(module, name), name
            assert name.startswith(("num", "embed")) or getattr(module, name) == value


@each
def test_strict(make: Make) -> None:
    for assign in (False, True):
        module, other = make(), make()
        load = functools.partial(module.load_state_dict, assign=assign)
        with pytest.raises(RuntimeError, match=r"Missing key.*weight"):
            load({})
        with pytest.raises(RuntimeError, match=r"Unexpected key.*more"):
            load({**other.state_dict(), "more": torch.zeros(1)})
        with pytest.raises(RuntimeError, match="size mismatch for weight"):
            load({"weight": torch.zeros(3, WIDTH)})
        found = load({"more": torch.zeros(1)}, strict=False)
        assert (found.missing_keys, found.unexpected_keys) == (["weight"], ["more"])
        assert str(load(other.state_dict())) == "<All keys matched successfully>"
        assert torch.equal(module.weight, other.weight)
        agrees(warm(module))


@each
def test_made_on_meta(make: Make) -> None:
    state = make().state_dict()
    with torch.device("meta"):
        module = nn.Sequential(make())
    assert module(IDS).is_meta
    assert module(IDS).shape == (*IDS.shape, WIDTH)
    emptied, assigned, drawn = (copy.deepcopy(module) for _ in range(3))
    emptied[0].to_empty(device="cpu")
    emptied[0].load_state_dict(state)
    assigned[0].load_state_dict(state, assign=True)
    for filled in (emptied, assigned):
        agrees(filled[0])
        agrees(warm(filled[0]))
        agrees(filled[0], OTHERS)
    drawn.to_empty(device="cpu")[0].reset_parameters()
    agrees(drawn[0])
    expected = 1.0 if make is table else make().init_std
    assert 0.7 * expected < drawn[0].weight.std() < 1.4 * expected
    skipped = skip_init(type(make()), **arguments_of(make))
    skipped.load_state_dict(state)
    agrees(skipped)


def arguments_of(make: Make) -> dict[str, object]:
    if make is table:
        return {"num_embeddings": len(WORDS), "embedding_dim": WIDTH}
    if make is bag:
        return {"vocabulary": SHORT, "d_model": WIDTH, "rule": RULE, "own": 3}
    return {"vocabulary": WORDS, "d_model": WIDTH, "pos_dim": 2}


@each
def test_fake_tensors(make: Make) -> None:
    with torch._subclasses.FakeTensorMode():
        for module in (make(), make().eval()):
            made = module(torch.zeros(2, 3, dtype=torch.long))
            assert made.shape == (2, 3, WIDTH)
            made.sum().backward()
    agrees(warm(make()))


@each
@each_mode
def test_copies_and_files(make: Make, training: bool, tmp_path: Path) -> None:
    module = warm(make()).train(training)
    torch.save(module.state_dict(), tmp_path / "state.pt")
    safetensors.save_file(module.state_dict(), tmp_path / "file.safetensors")
    safetensors.save_model(nn.Sequential(module), tmp_path / "model.safetensors")
    whole = io.BytesIO()
    torch.save(module, whole)
    whole.seek(0)
    copies = [make() for _ in range(3)]
    copies[0].load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    copies[1].load_state_dict(safetensors.load_file(tmp_path / "file.safetensors"))
    assert safetensors.load_model(nn.Sequential(copies[2]), tmp_path / "model.safetensors") == (
        set(),
        [],
    )
    copies += [
        copy.deepcopy(module),
        pickle.loads(pickle.dumps(module)),
        torch.load(whole, weights_only=False),
    ]
    for other in copies:
        assert torch.equal(other.weight, module.weight)
        warm(other)
        with torch.no_grad():
            other.weight.data.mul_(2)
            agrees(other)
        assert not torch.equal(other.weight, module.weight)
    alias = copy.copy(module)
    with torch.no_grad():
        module.weight.mul_(3)
    agrees(alias)
    agrees(module)
    module.share_memory()
    agrees(warm(module))


@each
def test_swapped_parameters(make: Make) -> None:
    """PyTorch's other way to convert and to load, which refuses tensors with weak references."""
    module = warm(make())
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        module.bfloat16().float().load_state_dict(make().state_dict())
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    agrees(warm(module))
    torch.utils.swap_tensors(module.weight, nn.Parameter(torch.randn_like(module.weight)))
    agrees(module)
    parameters = io.BytesIO()
    torch.save(dict(module.named_parameters()), parameters)
    parameters.seek(0)
    (found,) = torch.load(parameters, weights_only=True).values()
    assert torch.equal(found, module.weight)


@each
def test_functions_of_the_weight(make: Make) -> None:
    module = make(dtype=torch.float64)
    weight = module.weight.detach()

    def cubes(embed: Callable[[Tensor, Tensor], Tensor], w: Tensor, ids: Tensor) -> Tensor:
        return embed(w, ids).pow(3).sum()

    def embed(w: Tensor, ids: Tensor) -> Tensor:
        return functional_call(module, {"weight": w}, (ids,))

    def exact(w: Tensor, ids: Tensor) -> Tensor:
        return linear(module, w, ids)

    near(functional_call(module, module.state_dict(), IDS), exact(weight, IDS))
    near(vmap(module)(OTHERS), exact(weight, OTHERS))
    both = [functools.partial(cubes, way) for way in (embed, exact)]
    near(grad(both[0])(weight, IDS), grad(both[1])(weight, IDS))
    each_sample = vmap(grad(both[0]), (None, 0))(weight, IDS)
    near(each_sample, torch.stack([grad(both[1])(weight, row) for row in IDS]))
    near(jacrev(embed)(weight, IDS[0]), jacrev(exact)(weight, IDS[0]))
    near(jacfwd(embed)(weight[:, :1] * 0 + weight, IDS[0]), jacrev(exact)(weight, IDS[0]))
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(weight, weight.flip(0))
        near(forward_ad.unpack_dual(embed(dual, IDS)).tangent, exact(weight.flip(0), IDS))
    modules = [make() for _ in range(3)]
    parameters, buffers = stack_module_state(modules)
    base = copy.deepcopy(modules[0]).to("meta")
    ensemble = vmap(lambda p, b: functional_call(base, (p, b), (IDS,)))(parameters, buffers)
    for member, found in zip(modules, ensemble, strict=True):
        near(found, linear(member, member.weight.detach(), IDS))
    module.weight.grad = None
    (first,) = torch.autograd.grad(module(IDS).pow(3).sum(), module.weight, create_graph=True)
    (second,) = torch.autograd.grad(first.pow(2).sum(), module.weight)
    exactly = module.weight.detach().clone().requires_grad_()
    (first,) = torch.autograd.grad(exact(exactly, IDS).pow(3).sum(), exactly, create_graph=True)
    near(second, torch.autograd.grad(first.pow(2).sum(), exactly)[0])


def test_hessian() -> None:
    module = KroneckerEmbedding(WORDS, 1, 1, dtype=torch.float64)
    module_codes = torch.func.jacrev(lambda w: functional_call(module, {"weight": w}, (IDS[0],)))
    rows = module_codes(module.weight.detach())[:, 0, :, 0]

    def embed(w: Tensor) -> Tensor:
        return functional_call(module, {"weight": w}, (IDS[0],)).pow(3).sum()

    weight = module.weight.detach()
    found, expected = hessian(embed)(weight), hessian(lambda w: (rows @ w).pow(3).sum())(weight)
    near(found, expected)


@each
def test_unknown_ids_are_refused_everywhere(make: Make) -> None:
    for stranger in (-1, len(WORDS)):
        module, ids = make(), torch.tensor([[0, stranger], [0, 1]])
        traced = torch.jit.trace(module, IDS)
        for embed in (module, vmap(module), traced, warm(module), module.bfloat16()):
            with (
                torch.no_grad(),
                pytest.raises((IndexError, RuntimeError), match=r"ids hold|range"),
            ):
                embed(ids)


def by_data(kept: Tensor, new: Tensor) -> None:
    kept.data.mul_(0.5).add_(new.data, alpha=0.5)


def by_name(kept: Tensor, new: Tensor) -> None:
    kept.mul_(0.5).add_(new.detach(), alpha=0.5)


def by_numpy(kept: Tensor, new: Tensor) -> None:
    kept.detach().numpy()[:] = (kept + new).detach().numpy() / 2


def by_one_row(kept: Tensor, new: Tensor) -> None:
    kept.data[3] += new.data[3]


def by_new_data(kept: Tensor, new: Tensor) -> None:
    kept.data = new.data / 2


@each
def test_averages_in_evaluation(make: Make) -> None:
    """What was written is what counts from the next call on, however it was written."""
    for write in (by_data, by_name, by_numpy, by_one_row, by_new_data):
        for encoder in ("auto", "cached", "reference"):
            options = {"encoder": encoder} if make is not table else {}
            module, trained = make(**options), make(**options)
            # Taken before anything is kept.
            early = module.weight.data
            warm(module)
            with torch.no_grad():
                for _ in range(3):
                    trained.weight.add_(torch.randn_like(trained.weight))
                    for (_, kept), (_, new) in zip(
                        module.named_parameters(), trained.named_parameters(), strict=True
                    ):
                        write(kept, new)
                    agrees(module)
                if write is not by_new_data:
                    early.mul_(2)
                    agrees(module)
                module.state_dict()["weight"].data.mul_(2)
                agrees(module)


@each
def test_writes_to_a_weight_that_was_loaded_transposed(make: Make) -> None:
    module = make()
    transposed = make().weight.detach().t().contiguous().t()
    module.load_state_dict({"weight": transposed}, assign=True)
    assert torch.equal(module.weight, transposed)
    warm(module)
    with torch.no_grad():
        by_numpy(module.weight, make().weight)
        agrees(module)


@each
def test_averaged_model(make: Make) -> None:
    for use_buffers in (False, True):
        module = make()
        average = AveragedModel(
            module, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=use_buffers
        ).eval()
        with torch.no_grad():
            for _ in range(3):
                average.update_parameters(module)
                agrees(average.module)
                module.weight.add_(torch.randn_like(module.weight))


@each
@each_mode
def test_optimizers(make: Make, training: bool) -> None:
    for options in ({}, {"foreach": True}, {"fused": True}):
        module = make().train(training)
        optimizer = torch.optim.AdamW(module.parameters(), lr=0.1, **options)
        for _ in range(3):
            module(IDS).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
            with torch.no_grad():
                agrees(module)
        assert type(module.train().weight) is nn.Parameter


@each
def test_activation_checkpointing(make: Make) -> None:
    for reentrant in (False, True):
        model = nn.Sequential(make(), nn.Linear(WIDTH, WIDTH))
        policy = functools.partial(
            create_selective_checkpoint_contexts,
            lambda context, op, *rest, **options: (
                CheckpointPolicy.MUST_SAVE if "e" in str(op) else CheckpointPolicy.PREFER_RECOMPUTE
            ),
        )
        gradients = []
        for way in ("plain", "checkpoint", "selective"):
            model.zero_grad()
            if way == "plain":
                made = model(IDS)
            elif way == "checkpoint" and reentrant:
                made = checkpoint(model[1], model[0](IDS), use_reentrant=True)
            elif way == "checkpoint":
                made = checkpoint(model, IDS, use_reentrant=False)
            else:
                made = checkpoint(model, IDS, use_reentrant=False, context_fn=policy)
            made.square().sum().backward()
            gradients.append(model[0].weight.grad.clone())
        torch.testing.assert_close(gradients[1], gradients[0])
        torch.testing.assert_close(gradients[2], gradients[0])


@each
@pytest.mark.parametrize(
    ("dtype", "training"),
    [(torch.float32, True), (torch.float32, False), (torch.bfloat16, False)],
)
def test_compiled_as_a_whole(make: Make, dtype: torch.dtype, training: bool) -> None:
    """By the fused loops, and in half precision by plain operations."""
    torch._dynamo.reset()
    module = warm(make()).to(dtype).train(training)
    whole = torch.compile(module, fullgraph=True, backend="aot_eager")
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    for wanted in (True, False):
        with torch.set_grad_enabled(wanted):
            near(whole(IDS), linear(module, module.weight.double(), IDS), tolerance)
    with torch.no_grad():
        module.weight.data.mul_(2)
        near(whole(IDS), linear(module, module.weight.double(), IDS), tolerance)
    if dtype == torch.float32:
        whole(IDS).square().sum().backward()
        found = module.weight.grad.clone()
        module.weight.grad = None
        linear(module, module.weight, IDS).square().sum().backward()
        torch.testing.assert_close(found, module.weight.grad, rtol=1e-4, atol=1e-4)


def test_the_plain_encoder_is_compiled_as_a_whole() -> None:
    torch._dynamo.reset()
    module = kron(encoder="reference")
    whole = torch.compile(module, fullgraph=True, backend="aot_eager")
    for ids in (IDS[0], OTHERS):
        near(whole(ids), module(ids))
        whole(ids).square().sum().backward()
        found = module.weight.grad.clone()
        module.zero_grad()
        module(ids).square().sum().backward()
        torch.testing.assert_close(found, module.weight.grad, rtol=1e-4, atol=1e-4)
        module.zero_grad()


@each
def test_transforms_are_compiled(make: Make) -> None:
    torch._dynamo.reset()
    module = make()

    def loss(weight: Tensor, ids: Tensor) -> Tensor:
        return functional_call(module, {"weight": weight}, (ids,)).square().sum()

    per_sample = vmap(grad(loss), (None, 0))
    weight = module.weight.detach()
    compiled = torch.compile(per_sample, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(weight, IDS), per_sample(weight, IDS))


@each
def test_exported(make: Make) -> None:
    """The program needs nothing of ours to run, nor holds what is kept in evaluation."""
    module = warm(make())
    sizes = ({0: torch.export.Dim("rows"), 1: torch.export.Dim("time")},)
    program = torch.export.export(module, (IDS,), dynamic_shapes=sizes)
    assert not [node for node in program.graph.nodes if "kronviz" in str(node.target)]
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    for run in (program.module(), torch.export.load(file).module()):
        near(run(OTHERS), linear(module, module.weight, OTHERS))
    traced = torch.jit.trace(module, IDS)
    near(traced(OTHERS), linear(module, module.weight, OTHERS))


@pytest.mark.parametrize(("encoder", "dynamo"), [("auto", True), ("cached", False)])
def test_onnx(encoder: str, dynamo: bool, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    module, path = warm(kron(encoder=encoder)), str(tmp_path / "model.onnx")
    if dynamo:
        sizes = ({0: "rows", 1: "time"},)
        torch.onnx.export(module, (IDS,), path, dynamo=True, dynamic_shapes=sizes, verbose=False)
    else:
        axes = {"ids": {0: "rows", 1: "time"}}
        torch.onnx.export(
            module, (IDS,), path, dynamo=False, input_names=["ids"], dynamic_axes=axes
        )
    session = onnxruntime.InferenceSession(path)
    for ids in (IDS, OTHERS):
        (made,) = session.run(None, {session.get_inputs()[0].name: ids.numpy()})
        near(torch.tensor(made), linear(module, module.weight, ids))


@each
def test_other_precisions(make: Make) -> None:
    for dtype, tolerance in ((torch.float16, 2e-3), (torch.bfloat16, 1e-2), (torch.float64, 1e-12)):
        for module in (make(dtype=dtype), make().to(dtype)):
            agrees(module, tolerance=tolerance)
            made = module(IDS)
            made.float().square().sum().backward()
            assert module.weight.grad.dtype == dtype
            with torch.no_grad():
                agrees(module.eval(), tolerance=tolerance)
            with torch.autocast("cpu", torch.bfloat16):
                assert module(IDS).dtype == dtype
            near(vmap(module)(IDS), module(IDS), tolerance)


@each
def test_the_weight_computed_from_others(make: Make) -> None:
    class Double(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return 2 * weight

    module = make()
    parametrize.register_parametrization(module, "weight", Double())
    warm(module)
    with torch.no_grad():
        module.parametrizations.weight.original.data.mul_(3)
        agrees(module)
    agrees(copy.deepcopy(module))
    parametrize.remove_parametrizations(module, "weight")
    agrees(warm(module))
    agrees(parametrizations.weight_norm(make()))
    pruned = make()
    prune.l1_unstructured(pruned, "weight", 0.5)
    warm(pruned)
    prune.remove(pruned, "weight")
    agrees(pruned)


@each
def test_frozen(make: Make) -> None:
    module = make().requires_grad_(False)
    agrees(module)
    assert not module(IDS).requires_grad
    with torch.no_grad():
        module.weight.mul_(2)
    agrees(module)
    with torch.inference_mode():
        made_there = make()
        agrees(made_there)
        agrees(warm(module))
        module.weight.data.mul_(2)
        agrees(module)


@each
def test_ids(make: Make) -> None:
    for dtype in (torch.int32, torch.int64):
        module = make()
        agrees(module, OTHERS.to(dtype))
        agrees(module, OTHERS.t().to(dtype))
        for shape in ((0,), (2, 0), ()):
            made = module(torch.zeros(shape, dtype=dtype))
            assert made.shape == (*shape, WIDTH)
            made.sum().backward()
        ids = OTHERS.clone()
        module(ids).sum().backward()
        # Neither ids nor what was made of them is held on to: both can be freed, as FSDP does.
        made = module(ids)
        for tensor in (ids, made.detach(), module.weight.grad, module.weight.detach()):
            tensor.untyped_storage().resize_(tensor.untyped_storage().nbytes())
        if make is bag:
            continue
        padded = make(padding_idx=-2)
        assert padded.padding_idx == len(WORDS) - 2
        row = padded(torch.tensor([0, len(WORDS) - 2]))[1]
        if make is kron:
            assert not row.any()
        row.sum().backward()
        assert not padded.weight.grad.any()


@each
def test_what_no_id_is(make: Make) -> None:
    for ids in ([1, 2], 3, None, torch.tensor([1.0]), np.array([1])):
        with pytest.raises((TypeError, RuntimeError)):
            make()(ids)


def test_the_reference_state_dict() -> None:
    module, other = kron(), nn.Sequential(kron())
    theirs = module.to_reference_state_dict()
    assert list(theirs) == ["projection.weight"]
    assert theirs["projection.weight"].is_contiguous()
    for assign in (False, True):
        other[0].weight.data.zero_()
        prefixed = {f"0.{key}": value for key, value in theirs.items()}
        other.load_state_dict(prefixed, assign=assign)
        assert torch.equal(other[0].weight, module.weight)
        assert list(prefixed) == ["0.projection.weight"]
        agrees(warm(other[0]))
    with pytest.raises(RuntimeError, match=r"has shape \(3, 4\).*need \(6, 512\)"):
        module.load_state_dict({"projection.weight": torch.zeros(3, 4)})
    with pytest.raises(RuntimeError, match=r"Unexpected key.*projection\.weight"):
        module.load_state_dict({**module.state_dict(), **theirs})


@pytest.mark.parametrize("count", [len(WORDS), 512])
def test_no_head_is_tied_to_it(count: int) -> None:
    """512 is the number of rows that the projection has, too."""
    vocabulary = [bytes([i % 256, i // 256]) for i in range(count)]
    embedding = KroneckerEmbedding(vocabulary, WIDTH, 2)
    head = nn.Linear(WIDTH, count, bias=False)
    with pytest.raises(ValueError, match=r"cannot take the place of Linear\.weight"):
        head.weight = embedding.weight
    head(torch.zeros(1, WIDTH))
    for other in (copy.deepcopy(embedding), embedding.double(), embedding.to("meta")):
        with pytest.raises(ValueError, match="tie_word_embeddings=False"):
            head.weight = other.weight
    if count == len(WORDS):
        embedding = kron()
        embedding.weight = head.weight
        tied = ContextEmbedding(WORDS, WIDTH, RULE)
        tied.weight = head.weight
        for training in (True, False):
            embedding.train(training)
            tied.train(training)
            for embed in (
                lambda: embedding(IDS),
                lambda: embedding.embed_bytes(WORDS),
                lambda: embedding.byte_parts(b"x"),
                lambda: tied.in_context(IDS),
                lambda: tied.byte_parts(b"x"),
            ):
                with pytest.raises(ValueError, match="do not tie it to an output head"):
                    embed()
    # Two embeddings may share a projection.
    first, second = kron(), kron()
    second.weight = first.weight
    with torch.no_grad():
        warm(first)
        warm(second)
        second.weight.data.mul_(2)
        agrees(first)
        agrees(second)


def test_a_vocabulary_that_is_no_bytes() -> None:
    for vocabulary in (["a"], "abc", b"abc", 5, None, {b"a": 1}, [b"a", 1], iter([b"a"])):
        with pytest.raises(TypeError, match=r"vocabulary (is|has) .* bytes.*from_tokenizer"):
            KroneckerEmbedding(vocabulary, 4)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="strings"):
            kron().embed_bytes(vocabulary)


def test_forced_strings_that_are_refused() -> None:
    for forced, kind, said in (
        ({(0, 0): "text"}, TypeError, r"forced has str at \(0, 0\); it must be bytes"),
        ({0: b"a"}, TypeError, "forced has the key 0; it must be a tuple of whole numbers"),
        ({(True, 0): b"a"}, TypeError, r"forced has the key \(True, 0\); it must be a tuple"),
        ([b"a"], TypeError, "forced is list; it must be a dict"),
        ({(0, 0, 0): b"a"}, ValueError, "must have 2 numbers"),
        ({(0, 9): b"a"}, IndexError, r"forced has the key \(0, 9\); the ids have shape \(2, 3\)"),
        ({(0, 2): b"a", (0, -1): b"b"}, ValueError, r"two strings for \(0, 2\)"),
    ):
        with pytest.raises(kind, match=said):
            kron()(torch.tensor([[1, 2, 3], [4, 5, 6]]), forced)  # type: ignore[arg-type]


def test_other_arguments_that_are_refused() -> None:
    with pytest.raises(TypeError, match=r"the weight is torch.float8_e4m3fn.*convert the module"):
        kron().to(torch.float8_e4m3fn)(IDS)
    with pytest.raises(ValueError, match="d_model is True; it must be a whole number"):
        KroneckerEmbedding([b"a"], True)
    with pytest.raises(ValueError, match=r"padding_idx is 8; this vocabulary has ids 0 … 7"):
        kron(padding_idx=8)
    with pytest.raises(ValueError, match="this embedding has the 8 tokens of its vocabulary"):
        kron().num_embeddings = 9
    with pytest.raises(RuntimeError, match="ids are on meta and the weight on cpu"):
        kron()(IDS.to("meta"))
    freed = kron()
    freed.weight.untyped_storage().resize_(0)
    with pytest.raises(RuntimeError, match="memory has been freed"):
        freed.eval()(IDS)


def test_arguments_of_no_use_are_named() -> None:
    for name, value in (
        ("d_model", -1), ("d_model", 8.0), ("init_std", -1.0), ("init_std", float("nan")),
        ("init_std", float("inf")), ("padding_idx", 1.0), ("padding_idx", 8), ("encoder", "none"),
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError), match=f"^{name} is "):
            KroneckerEmbedding(**{"vocabulary": WORDS, "d_model": 4, "pos_dim": 2, name: value})


def test_what_cannot_be_compiled_says_what_can() -> None:
    whole = nn.Sequential(kron())
    with pytest.raises(TypeError, match=r"leaf.*torch\.export"):
        torch.fx.symbolic_trace(whole)
    with pytest.raises(TypeError, match=r"torch\.jit\.trace or torch\.export"):
        torch.jit.script(whole)
    freed = kron()
    freed.weight.data = torch.empty(0)
    with pytest.raises(RuntimeError, match="freed; gather"):
        freed(IDS)


def test_init_std() -> None:
    torch.manual_seed(0)
    usual, small = kron(), kron(init_std=0.02 / 512**0.5)
    assert usual.init_std == pytest.approx(512**-0.5)
    for module, expected in ((usual, 1.0), (small, 0.02)):
        vectors = torch.cat([module(IDS), module(OTHERS[:, :3])])
        assert 0.7 * expected < vectors[vectors.abs().sum(-1) > 0].std() < 1.3 * expected
    small.reset_parameters()
    assert small.weight.std() < 2 * 0.02 / 512**0.5
