"""The public names of `zoo`: each is there, and none is imported before it is used."""

from command_line import run_python

import zoo


def test_every_public_name_is_there():
    assert len(zoo.__all__) > 20
    for name in zoo.__all__:
        assert getattr(zoo, name) is not None


def test_importing_zoo_imports_neither_torch_nor_lightning(tmp_path):
    code = "import sys, zoo; print([name for name in ('torch', 'pytorch_lightning', 'wandb') if name in sys.modules])"
    assert run_python("-c", code, cwd=tmp_path).stdout == "[]\n"


def test_the_backbone_alone_imports_torch_without_lightning(tmp_path):
    code = "import sys, zoo; zoo.RecurrentBackbone; print('torch' in sys.modules, 'pytorch_lightning' in sys.modules)"
    assert run_python("-c", code, cwd=tmp_path).stdout == "True False\n"
